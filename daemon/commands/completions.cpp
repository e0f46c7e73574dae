// `caretd completions SHELL`: a completion script made from the subcommands themselves.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "daemon/commands/commands.h"

namespace caretd::daemon {

namespace {

struct Word {
  std::string text;
  std::string description;
};

/// A command and what may follow it. The root's path is empty, others are "daemon start".
struct Node {
  std::string path;
  std::vector<Word> words;
  bool takes_file = false;
};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node{path, {}, false};
  for (const CLI::App* child : app.get_subcommands({})) {
    node.words.push_back({child->get_name(), first_line(child->get_description())});
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      node.words.push_back({"--" + name, first_line(option->get_description())});
    }
    node.takes_file = node.takes_file || option->get_positional();
  }
  nodes.push_back(std::move(node));
  for (const CLI::App* child : app.get_subcommands({})) {
    collect(*child, path.empty() ? child->get_name() : path + ' ' + child->get_name(), nodes);
  }
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + '\'';
}

std::string joined(const std::vector<Word>& words) {
  std::string text;
  for (const Word& word : words) text += (text.empty() ? "" : " ") + word.text;
  return text;
}

/// Shell code that sets `command` to the subcommands on the line so far.
std::string find_command(const std::vector<Node>& nodes, const std::string& words) {
  std::string code = "  local command='' word\n  for word in " + words + "; do\n";
  code += "    case \"${command:+$command }$word\" in\n      ";
  for (const Node& node : nodes) {
    if (node.path.empty()) continue;
    code += quoted(node.path) + (&node == &nodes.back() ? "" : "|");
  }
  return code + ") command=\"${command:+$command }$word\" ;;\n    esac\n  done\n";
}

void print_bash(const std::vector<Node>& nodes) {
  std::cout << "# bash completion for caretd\n_caretd() {\n"
            << "  local current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
            << find_command(nodes, "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"")
            << "  case \"$command\" in\n";
  for (const Node& node : nodes) {
    std::cout << "    " << quoted(node.path) << ") COMPREPLY=($(compgen "
              << (node.takes_file ? "-f " : "") << "-W " << quoted(joined(node.words))
              << " -- \"$current\")) ;;\n";
  }
  std::cout << "  esac\n}\ncomplete -o filenames -F _caretd caretd\n";
}

void print_zsh(const std::vector<Node>& nodes) {
  std::cout << "#compdef caretd\n_caretd() {\n"
            << find_command(nodes, "\"${(@)words[2,CURRENT-1]}\"")
            << "  local -a entries\n  case \"$command\" in\n";
  for (const Node& node : nodes) {
    std::cout << "    " << quoted(node.path) << ")\n      entries=(";
    for (const Word& word : node.words) {
      std::cout << "\n        " << quoted(word.text + ':' + word.description);
    }
    std::cout << "\n      )\n" << (node.takes_file ? "      _files\n" : "") << "      ;;\n";
  }
  std::cout << "  esac\n  _describe caretd entries\n}\ncompdef _caretd caretd\n";
}

void print_fish(const std::vector<Node>& nodes) {
  std::cout << "# fish completion for caretd\nfunction __caretd_at\n"
            << "  set -l words (commandline -opc | string match -rv '^-')\n"
            << "  test \"$words[2..-1]\" = \"$argv\"\nend\n";
  for (const Node& node : nodes) {
    const std::string condition = " -n " + quoted("__caretd_at " + node.path);
    for (const Word& word : node.words) {
      const bool option = word.text.starts_with("--");
      std::cout << "complete -c caretd" << (node.takes_file ? "" : " -f") << condition
                << (option ? " -l " + word.text.substr(2) : " -a " + word.text) << " -d "
                << quoted(word.description) << '\n';
    }
  }
}

}  // namespace

void add_completions_command(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  CLI::App& command = line.add("completions", "Print a completion script for a shell",
                               "caretd completions bash > ~/.local/share/bash-completion/"
                               "completions/caretd\n"
                               "caretd completions fish > ~/.config/fish/completions/caretd.fish",
                               [shell, &line](CommandContext&) -> int {
                                 std::vector<Node> nodes;
                                 collect(line.app(), "", nodes);
                                 if (*shell == "bash") print_bash(nodes);
                                 if (*shell == "zsh") print_zsh(nodes);
                                 if (*shell == "fish") print_fish(nodes);
                                 return kSuccess;
                               });
  command.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace caretd::daemon
