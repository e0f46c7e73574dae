// `caretd man`: the manual page, made from the subcommands themselves so that it cannot drift.
#include <iostream>
#include <string>

#include "daemon/build_info.h"
#include "daemon/commands/commands.h"

namespace caretd::daemon {

namespace {

/// Text as roff takes it literally: backslashes and hyphens escaped, no line that looks like a
/// request.
std::string roff(const std::string& text) {
  std::string result;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
    line_start = c == '\n';
  }
  return result;
}

std::string option_heading(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) {
    names += (names.empty() ? "--" : ", --") + name;
  }
  const bool takes_value = option.get_expected_max() > 0;
  return takes_value ? names + ' ' + option.get_type_name() : names;
}

void print_options(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_name().find("help") != std::string::npos) continue;
    std::cout << ".TP\n.B " << roff(option_heading(*option)) << '\n'
              << roff(option->get_description()) << '\n';
  }
}

void print_command(const CLI::App& app, const std::string& path) {
  std::cout << ".SS caretd " << roff(path) << '\n' << roff(app.get_description()) << '\n';
  print_options(app);
  std::string examples = app.get_footer();
  examples = examples.substr(0, examples.find("\n\nExit codes"));
  if (examples.starts_with("Examples:")) {
    std::cout << ".PP\nExamples:\n.nf\n"
              << roff(examples.substr(examples.find('\n') + 1)) << "\n.fi\n";
  }
  for (const CLI::App* child : app.get_subcommands({})) {
    print_command(*child, path + ' ' + child->get_name());
  }
}

void print_page(const CLI::App& app) {
  std::cout << ".TH CARETD 1 \"\" \"caretd " << roff(std::string(version()))
            << "\" \"User Commands\"\n"
            << ".SH NAME\ncaretd \\- " << roff(app.get_description())
            << "\n.SH SYNOPSIS\n.B caretd\n[OPTIONS] COMMAND ...\n.SH OPTIONS\n";
  print_options(app);
  std::cout << ".SH COMMANDS\n";
  for (const CLI::App* child : app.get_subcommands({})) print_command(*child, child->get_name());
  std::cout
      << ".SH EXIT STATUS\n"
      << roff(app.get_footer()) << '\n'
      << ".SH FILES\n.TP\n.I $XDG_CONFIG_HOME/caretd/config.toml\nThe user's configuration.\n"
      << ".TP\n.I .caretd.toml\nA project's configuration: languages, ignore rules, budgets.\n";
}

}  // namespace

void add_man_command(CommandLine& line) {
  line.add("man", "Print the manual page in roff", "caretd man | man -l -",
           [&line](CommandContext&) -> int {
             print_page(line.app());
             return kSuccess;
           });
}

}  // namespace caretd::daemon
