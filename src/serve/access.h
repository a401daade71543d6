// Access: who may ask this server, told by a request's head alone, before anything of its body is read. The server is
// its user's: a web page in the user's own browser is a stranger, whether it posts across origins or has its own name
// resolve to this machine (DNS rebinding). So the Host must be this machine's, a foreign Origin must have been allowed,
// and where there are keys one must be given. Non-goals: users, quotas, TLS.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "net/http_server.h"
#include "wire/openai.h"

namespace retort::serve {

class Access {
 public:
  // `host`: the address listened on. `allow_hosts`: more names of this server; `allow_origins`: origins whose pages may
  // use it ("https://chat.example", "*": any). `key_file`: one key a line, # begins a comment, "": none. Errors:
  // Invalid where other machines could reach a server without keys, the file holds none, or a name is not one.
  static Result<Access> make(const std::string& host, const std::vector<std::string>& allow_hosts,
                             const std::vector<std::string>& allow_origins, const std::string& key_file, Env& env);

  // Why this request is not for this server to answer, if so: a foreign Host (421) or Origin (403).
  std::optional<wire::ApiError> foreign(const net::ServerRequest& head) const;
  // One of the keys is given, or there are none. Its time tells nothing about the keys.
  bool has_key(const net::ServerRequest& head) const;
  // What lets a page of an allowed foreign origin read the answer; empty for all others.
  net::Headers cors(const net::ServerRequest& head) const;

 private:
  bool own_host(std::string_view host) const;
  bool allowed_origin(std::string_view origin) const;

  bool any_address_ = false;  // listens on all of this machine's
  std::vector<std::string> hosts_, origins_, key_digests_;
};

}  // namespace retort::serve
