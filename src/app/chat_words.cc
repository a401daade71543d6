#include "app/chat_words.h"

#include <fmt/core.h>

#include "base/options.h"
#include "base/text.h"
#include "record/prompt.h"

namespace retort::app {
namespace {

struct Word {
  std::string_view name, argument, help;
};

constexpr Word kWords[] = {
    {"/help", "", "this list"},
    {"/set", "NAME VALUE", "temperature, top_p, top_k, max_tokens or seed; alone: what is set"},
    {"/system", "TEXT", "the system message from now on; alone: none"},
    {"/save", "FILE", "writes the conversation as JSON, `messages` as in a prompts file"},
    {"/load", "FILE", "goes on with a saved conversation"},
    {"/clear", "", "forgets the conversation (/reset too)"},
    {"/exit", "", "ends (/quit too)"},
};

// The names of the sampling that may be set, through the one description that all options have.
struct Settings {
  double temperature = 0, top_p = 0;
  int top_k = 0, max_tokens = 0;
  uint64_t seed = 0;

  template <class V>
  void fields(V&& v) {
    v("temperature", temperature, "");
    v("top_p", top_p, "");
    v("top_k", top_k, "");
    v("max_tokens", max_tokens, "");
    v("seed", seed, "");
  }
};

}  // namespace

std::string chat_help() {
  std::string out;
  for (const Word& word : kWords)
    out += fmt::format("  {:<17} {}\n", fmt::format("{} {}", word.name, word.argument), word.help);
  return out;
}

bool Typed::more(std::string_view line) {
  constexpr std::string_view kQuotes = "\"\"\"";
  if (!begun_ && trim(line).starts_with(kQuotes)) {
    line = trim(line).substr(kQuotes.size());
    quoted_ = true;
    begun_ = true;
    if (line.empty()) return true;
  } else if (begun_ && !text_.empty()) {
    text_ += '\n';
  }
  begun_ = true;
  if (quoted_) {
    const std::string_view end = trim(line);
    const bool closes = end.ends_with(kQuotes);
    text_ += closes ? end.substr(0, end.size() - kQuotes.size()) : line;
    if (closes && text_.ends_with('\n')) text_.pop_back();
    return !closes;
  }
  if (line.ends_with('\\')) {
    text_ += line.substr(0, line.size() - 1);
    return true;
  }
  text_ += line;
  return false;
}

Chat::Chat(const ChatOptions& options, model::Sampling sampling) : system_(options.system), sampling_(sampling) {
  if (options.temperature >= 0) sampling_.temperature = options.temperature;
  if (options.top_p >= 0) sampling_.top_p = options.top_p;
  if (options.top_k >= 0) sampling_.top_k = options.top_k;
  if (options.seed >= 0) sampling_.seed = static_cast<uint64_t>(options.seed);
  sampling_.max_tokens = options.max_tokens;
  says_temperature_ = options.temperature >= 0;
  says_top_p_ = options.top_p >= 0;
}

model::Request Chat::ask(std::string question) {
  history_.push_back({"user", std::move(question), "", nullptr});
  model::Request request;
  if (!system_.empty()) request.messages.push_back({"system", system_, "", nullptr});
  request.messages.insert(request.messages.end(), history_.begin(), history_.end());
  request.sampling = sampling_;
  return request;
}

void Chat::keep(std::string answer) { history_.push_back({"assistant", std::move(answer), "", nullptr}); }

size_t Chat::turns() const { return history_.size(); }

Chat::Did Chat::command(std::string_view line, Env& env) {
  const size_t space = line.find_first_of(" \t\n");
  const std::string_view name = line.substr(0, space);
  const std::string rest = to_utf8(space == std::string_view::npos ? "" : trim(line.substr(space)));
  if (name == "/quit" || name == "/exit") return {"", true};
  if (name == "/reset" || name == "/clear") {
    history_.clear();
    return {"(forgotten)", false};
  }
  if (name == "/help") return {chat_help() + "\"\"\" begins and ends a question of several lines", false};
  if (name == "/set") return {set(rest), false};
  if (name == "/system") {
    system_ = rest;
    return {rest.empty() ? "(no system message)" : "(the system message is set)", false};
  }
  if (name == "/save" || name == "/load") {
    if (rest.empty()) return {fmt::format("({} needs the name of a file)", name), false};
    return {name == "/save" ? save(rest, env) : load(rest, env), false};
  }
  std::vector<std::string> names = {"/quit", "/reset"};
  for (const Word& word : kWords) names.emplace_back(word.name);
  const std::string near = nearest(name, names);
  return {fmt::format("(no command `{}`; {})", to_utf8(name),
                      near.empty() ? "/help lists what there is" : fmt::format("did you mean `{}`?", near)),
          false};
}

std::string Chat::set(std::string_view words) {
  Settings settings{sampling_.temperature, sampling_.top_p, sampling_.top_k, sampling_.max_tokens,
                    sampling_.seed.value_or(0)};
  const size_t space = words.find_first_of(" =\t");
  if (space == std::string_view::npos) {
    std::string out;
    std::vector<OptionField> fields;
    list_options(settings, fields);
    for (const OptionField& field : fields) {
      const bool drawn = field.path == "seed" && !sampling_.seed;
      out += fmt::format("{}{} {}", out.empty() ? "(" : ", ", field.path, drawn ? "drawn" : to_text(field.value));
    }
    return out + (words.empty() ? ")" : "; /set NAME VALUE changes one)");
  }
  const std::string name(words.substr(0, space));
  Json given = Json::object();
  given[name] = std::string(trim(words.substr(space + 1)));
  if (const Status status = load_options(settings, given); !status.ok()) {
    std::string message = status.error().message;
    if (const size_t help = message.find("see --help"); help != std::string::npos)
      message.replace(help, std::string::npos, "/set lists them");
    return "(" + message + ")";
  }
  if (settings.temperature < 0 || settings.top_p <= 0 || settings.top_p > 1 || settings.top_k < 0 ||
      settings.max_tokens < 0)
    return fmt::format("({} is out of range)", words);
  sampling_.temperature = settings.temperature;
  sampling_.top_p = settings.top_p;
  sampling_.top_k = settings.top_k;
  sampling_.max_tokens = settings.max_tokens;
  says_temperature_ = says_temperature_ || name == "temperature";
  says_top_p_ = says_top_p_ || name == "top_p";
  if (name == "seed") sampling_.seed = settings.seed;
  return fmt::format("({} is set)", name);
}

std::string Chat::save(const std::string& path, Env& env) const {
  if (env.exists(path)) return fmt::format("({} exists; give another name)", path);
  std::vector<Message> all = history_;
  if (!system_.empty()) all.insert(all.begin(), Message{"system", system_, "", nullptr});
  const Status status = env.write_file(path, to_text({{"messages", encode(all)}}) + "\n");
  return status.ok() ? fmt::format("({} messages are in {})", all.size(), path) : "(" + status.error().message + ")";
}

std::string Chat::load(const std::string& path, Env& env) {
  const auto text = env.read_file(path);
  if (!text.ok()) return "(" + text.error().message + ")";
  const auto json = parse_json(*text);
  if (!json.ok()) return fmt::format("({}: {})", path, json.error().message);
  std::vector<Message> all;
  const Json* messages = find(*json, "messages");
  if (messages == nullptr) return fmt::format("({} holds no `messages`)", path);
  if (const Status status = decode(*messages, all); !status.ok())
    return fmt::format("({}: {})", path, status.error().message);
  system_.clear();
  if (!all.empty() && all.front().role == "system") {
    system_ = all.front().content;
    all.erase(all.begin());
  }
  history_ = std::move(all);
  return fmt::format("({} messages are loaded)", history_.size());
}

}  // namespace retort::app
