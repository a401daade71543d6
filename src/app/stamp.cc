#include "app/stamp.h"

#include <algorithm>

#include "base/folder.h"
#include "base/hash.h"

namespace retort::app {
namespace {

Status collect_files(const std::string& folder, const std::string& prefix, Env& env, std::vector<std::string>& out) {
  RETORT_ASSIGN(const std::vector<std::string> names, env.list_directory(folder));
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    const std::string relative = prefix.empty() ? name : prefix + "/" + name;
    if (env.is_directory(path))
      RETORT_TRY(collect_files(path, relative, env, out));
    else
      out.push_back(relative);
  }
  return {};
}

// Leaves of an options tree as "a.b" -> text.
void flatten(const Json& value, const std::string& where, std::map<std::string, std::string>& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) flatten(member, where.empty() ? key : where + "." + key, out);
  } else {
    out[where] = to_text(value);
  }
}

// Whether the mark vouches for the file: same size, time and inode as when it had the stamp's hash.
bool sealed_as(const Result<Mark>& mark, const std::string& path, const StampFile& file) {
  const auto entry =
      mark.ok() ? mark->entries.find(file.path) : std::map<std::string, std::optional<Seal>>::const_iterator();
  return mark.ok() && entry != mark->entries.end() && entry->second && entry->second->sha256 == file.hash &&
         as_sealed(path, *entry->second);
}

}  // namespace

Result<Stamp> read_stamp(const std::string& folder, Env& env) {
  const std::string path = folder + "/" + kStampName;
  RETORT_ASSIGN(const std::string text, env.read_file(path));
  const auto read = [&]() -> Result<Stamp> {
    RETORT_ASSIGN(const Json json, parse_json(text));
    Stamp stamp;
    RETORT_ASSIGN(stamp.made_of.kind, need_string(json, "kind"));
    if (const Json* options = find(json, "options")) stamp.made_of.options = *options;
    if (const Json* inputs = find(json, "inputs"); inputs != nullptr && inputs->is_object()) {
      for (const auto& [name, unused] : inputs->items()) {
        RETORT_ASSIGN(stamp.made_of.inputs[name], need_string(*inputs, name));
      }
    }
    if (const Json* files = find(json, "files"); files != nullptr && files->is_array()) {
      for (const Json& entry : *files) {
        StampFile file;
        RETORT_ASSIGN(file.path, need_string(entry, "path"));
        RETORT_ASSIGN(file.size, need_int(entry, "size"));
        RETORT_ASSIGN(file.hash, need_string(entry, "hash"));
        stamp.files.push_back(std::move(file));
      }
    }
    RETORT_ASSIGN(stamp.output_hash, need_string(json, "output_hash"));
    RETORT_ASSIGN(stamp.seconds, get_double(json, "seconds", 0));
    return stamp;
  };
  auto stamp = read();
  if (!stamp.ok()) return fail(Code::Corrupt, "{}: {}; remove it and the step runs again", path, stamp.error().message);
  return stamp;
}

Status write_stamp(const std::string& folder, const Stamp& stamp, Env& env) {
  Json json = {{"kind", stamp.made_of.kind}, {"options", stamp.made_of.options}};
  json["inputs"] = Json::object();
  for (const auto& [name, hash] : stamp.made_of.inputs) json["inputs"][name] = hash;
  json["files"] = Json::array();
  for (const StampFile& file : stamp.files)
    json["files"].push_back({{"path", file.path}, {"size", file.size}, {"hash", file.hash}});
  json["output_hash"] = stamp.output_hash;
  json["seconds"] = stamp.seconds;
  return env.write_file(folder + "/" + kStampName, json.dump(2) + "\n");
}

Result<std::vector<StampFile>> list_output(const std::string& folder, Env& env) {
  std::vector<std::string> paths;
  RETORT_TRY(collect_files(folder, "", env, paths));
  std::sort(paths.begin(), paths.end());
  std::vector<StampFile> files;
  for (const std::string& path : paths) {
    if (path == kMarkName || path.ends_with(std::string("/") + kMarkName)) continue;  // holds facts of this machine
    if (path == kStampName || path.starts_with(std::string(kWorkFolder) + "/")) continue;
    StampFile file{path, 0, ""};
    RETORT_ASSIGN(file.size, env.file_size(folder + "/" + path));
    RETORT_ASSIGN(file.hash, sha256_file(folder + "/" + path));
    files.push_back(std::move(file));
  }
  return files;
}

std::string output_hash(const std::vector<StampFile>& files) {
  Sha256 hash;
  for (const StampFile& file : files) hash.update(file.path + "\n" + file.hash + "\n");
  return hash.finish();
}

Result<std::string> content_hash(const std::string& path, Env& env) {
  if (!env.is_directory(path)) return sha256_file(path);
  RETORT_ASSIGN(const std::vector<StampFile> files, list_output(path, env));
  return output_hash(files);
}

std::vector<std::string> reasons_to_run(const Stamp* stamp, const StampInputs& now, const std::string& folder,
                                        Env& env) {
  std::vector<std::string> reasons;
  if (stamp == nullptr) return {"it has not finished before"};
  if (stamp->made_of.kind != now.kind)
    reasons.push_back(fmt::format("its kind was {} and is {}", stamp->made_of.kind, now.kind));
  std::map<std::string, std::string> before, after;
  flatten(stamp->made_of.options, "", before);
  flatten(now.options, "", after);
  for (const auto& [name, value] : after) {
    const auto old = before.find(name);
    if (old == before.end())
      reasons.push_back(fmt::format("option `{}` is new: {}", name, value));
    else if (old->second != value)
      reasons.push_back(fmt::format("option `{}` was {} and is {}", name, old->second, value));
  }
  for (const auto& [name, value] : before) {
    if (!after.contains(name)) reasons.push_back(fmt::format("option `{}` is gone: it was {}", name, value));
  }
  for (const auto& [name, hash] : now.inputs) {
    const auto old = stamp->made_of.inputs.find(name);
    if (old == stamp->made_of.inputs.end())
      reasons.push_back(fmt::format("input {} is new", name));
    else if (old->second != hash)
      reasons.push_back(fmt::format("input {} changed: {:.12} to {:.12}", name, old->second, hash));
  }
  const auto mark = read_mark(folder);
  for (const StampFile& file : stamp->files) {
    const std::string path = folder + "/" + file.path;
    const auto size = env.file_size(path);
    if (!size.ok())
      reasons.push_back(fmt::format("its output {} is gone", file.path));
    else if (*size != file.size)
      reasons.push_back(fmt::format("its output {} has {} bytes, not {}", file.path, *size, file.size));
    else if (!sealed_as(mark, path, file)) {
      const auto hash = sha256_file(path);
      if (!hash.ok() || *hash != file.hash) reasons.push_back(fmt::format("its output {} was changed", file.path));
    }
  }
  return reasons;
}

}  // namespace retort::app
