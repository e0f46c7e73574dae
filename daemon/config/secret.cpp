#include "daemon/config/secret.h"

#include <fstream>

namespace caretd::daemon {

Result<std::string> read_secret(const std::string& value, const std::string& file,
                                const std::string& name) {
  if (file.empty()) return value;
  std::string line;
  std::getline(std::ifstream(file), line);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  if (!line.empty()) return line;
  return fail(ErrorKind::invalid_input,
              name + " " + file + " cannot be read or its first line is empty");
}

}  // namespace caretd::daemon
