#include "daemon/command_line.h"

int main(int argc, char** argv) {
  using namespace caretd::daemon;
  CommandLine line(InstallTree{executable_path()}, process_environment());
  add_all_commands(line);
  return line.run(argc, argv);
}
