#include "lsp/context/secrets.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>

namespace caretd::lsp {

bool is_secret_file(std::string_view path) {
  static constexpr std::string_view kNames[] = {".env",
                                                ".envrc",
                                                ".netrc",
                                                "_netrc",
                                                ".pgpass",
                                                ".htpasswd",
                                                ".npmrc",
                                                ".pypirc",
                                                "id_rsa",
                                                "id_dsa",
                                                "id_ecdsa",
                                                "id_ed25519",
                                                "credentials",
                                                "credentials.json",
                                                "secrets.json",
                                                "secrets.yaml",
                                                "secrets.yml",
                                                "secrets.toml",
                                                "secret.yaml",
                                                "secret.yml",
                                                ".git-credentials",
                                                ".dockercfg",
                                                "service-account.json",
                                                "terraform.tfstate",
                                                "master.key",
                                                ".vault_pass",
                                                "kubeconfig"};
  static constexpr std::string_view kEndings[] = {".pem",      ".key",  ".p12", ".pfx", ".jks",
                                                  ".keystore", ".kdbx", ".ppk", ".asc", ".gpg",
                                                  ".tfvars",   ".ovpn", ".age"};
  static constexpr std::string_view kSamples[] = {".example", ".sample", ".template", ".dist"};
  std::string whole(path);
  for (char& c : whole) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string_view name = std::string_view(whole).substr(whole.find_last_of('/') + 1);
  const auto ends = [&](std::string_view ending) { return name.ends_with(ending); };
  if (std::ranges::any_of(kSamples, ends)) return false;
  if (std::ranges::find(kNames, name) != std::end(kNames)) return true;
  if (name.starts_with(".env.") || name.starts_with(".env-") || ends(".env")) return true;
  if (whole.find("/.ssh/") != std::string::npos || whole.find("/.aws/") != std::string::npos ||
      whole.find("/.gnupg/") != std::string::npos || whole.ends_with("/.docker/config.json")) {
    return true;
  }
  return std::ranges::any_of(kEndings, ends);
}

}  // namespace caretd::lsp
