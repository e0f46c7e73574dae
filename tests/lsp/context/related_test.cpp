#include "lsp/context/related.h"

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

// Open documents with their trees.
class Files {
 public:
  void open(const std::string& name, const std::string& language_id, const std::string& text) {
    add(documents_.open("file:///w/" + name, language_id, 1, text), name);
  }

  void change(const std::string& name, Range range, const std::string& text) {
    add(changed(name, range, text), name);
  }

  void change_without_parsing(const std::string& name, Range range, const std::string& text) {
    files.push_back({changed(name, range, text), name, nullptr});
  }

  // Its tree comes later.
  void open_without_parsing(const std::string& name, const std::string& language_id,
                            const std::string& text) {
    files.push_back({documents_.open("file:///w/" + name, language_id, 1, text), name, nullptr});
  }

  void parse_all() {
    for (OpenFile& file : files) file.tree = parsed(*file.document);
  }

  std::vector<RelatedPiece> find(std::vector<std::string> names, ShownStretch shown = {},
                                 RelatedOptions options = {}) {
    return find_related(names, files, index_, edits, shown, options);
  }

  std::vector<OpenFile> files;
  RecentEdits edits;

 private:
  static SyntaxTreePtr parsed(const Document& document) {
    return parse(find_language(document.language_id), document.text.view(),
                 {.time = std::chrono::seconds(60)}, SteadyClock());
  }

  void add(const DocumentSnapshot& document, const std::string& name) {
    files.push_back({document, name, parsed(*document)});
  }

  // The document's next snapshot, which replaces the one before among the files.
  DocumentSnapshot changed(const std::string& name, Range range, const std::string& text) {
    const std::vector<ContentChange> changes = {{range, text}};
    const DocumentSnapshot document =
        *documents_.change("file:///w/" + name, 2, changes, PositionEncoding::utf8);
    edits.note(*document);
    std::erase_if(files, [&](const OpenFile& f) { return f.document->id == document->id; });
    return document;
  }

  DocumentStore documents_{1};
  DefinitionFinder finder_;
  DefinitionIndex index_{finder_, documents_};
};

std::vector<std::string> texts(const std::vector<RelatedPiece>& pieces) {
  std::vector<std::string> result;
  for (const RelatedPiece& piece : pieces) result.push_back(piece.text);
  return result;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("definitions of the names near the cursor are found in open files") {
  Files files;
  files.open("a.py", "python", "import b\n\nx = merge(\n");
  files.open("b.py", "python",
             "K = 1\n\ndef merge(a, b):\n    return a + b\n\ndef other():\n    pass\n");
  files.open("c.go", "go", "package c\n\ntype Tree struct {\n\tn int\n}\n");
  const auto pieces = files.find({"merge", "Tree", "unknown"});
  CHECK(texts(pieces) ==
        Texts{"def merge(a, b):\n    return a + b\n", "type Tree struct {\n\tn int\n}\n"});
  CHECK(pieces[0].path == "b.py");
  CHECK(pieces[0].kind == PieceKind::definition);
}

TEST_CASE("definitions of a file that was not parsed again are where the edits moved them") {
  const RelatedOptions only_definitions{.recent_edits = false};
  Files files;
  files.open("a.py", "python", "def f():\n    return 1\n\ndef g():\n    return 2\n");
  const auto find = [&](const std::string& name) {
    return texts(files.find({name}, {}, only_definitions));
  };
  REQUIRE(find("g") == Texts{"def g():\n    return 2\n"});
  files.change_without_parsing("a.py", {{0, 0}, {0, 0}}, "import x\n");
  files.change_without_parsing("a.py", {{5, 11}, {5, 11}}, "1 + ");
  CHECK(find("f") == Texts{"def f():\n    return 1\n"});
  CHECK(find("g") == Texts{"def g():\n    return 1 + 2\n"});

  files.change_without_parsing("a.py", {{2, 4}, {5, 4}}, "");
  CHECK(find("f").empty());
  CHECK(find("g").empty());
  files.parse_all();
  CHECK(find("f").size() == 1);
}

TEST_CASE("definitions are found as soon as the file is parsed") {
  Files files;
  files.open_without_parsing("a.py", "python", "def f():\n    pass\n");
  CHECK(files.find({"f"}).empty());
  files.parse_all();
  CHECK(files.find({"f"}).size() == 1);
}

TEST_CASE("what the prompt shows anyway is not related") {
  Files files;
  files.open("a.py", "python", "def merge(a):\n    return a\n\nmerge(\n");
  const std::uint64_t id = files.files[0].document->id;
  CHECK(files.find({"merge"}, {id, 0, 40}).empty());
  CHECK(files.find({"merge"}, {id, 27, 40}).size() == 1);
  CHECK(files.find({"merge"}, {id + 1, 0, 40}).size() == 1);
}

TEST_CASE("long definitions are cut and secrets in them too") {
  Files files;
  std::string text = "class Config:\n    password = \"s3cr!tPw9\"\n";
  for (int i = 0; i < 50; ++i) text += "    x" + std::to_string(i) + " = 1\n";
  files.open("a.py", "python", text);
  const auto pieces = files.find({"Config"}, {}, {.lines = 4});
  CHECK(texts(pieces) ==
        Texts{"class Config:\n    password = \"REDACTED\"\n    x0 = 1\n    x1 = 1\n"});
}

TEST_CASE("lines of minified code are not related to anything") {
  Files files;
  const std::string line = "function f(a){return a}" + std::string(40'000, ';');
  files.open("a.min.js", "javascript", line + "\nfunction g() {}\n");
  files.change("a.min.js", {{0, 0}, {0, 0}}, "x();");
  CHECK(texts(files.find({"f"})).empty());
  CHECK(texts(files.find({"g"})) == Texts{"function g() {}\n"});
}

TEST_CASE("regions edited lately come behind the definitions, the latest first") {
  Files files;
  files.open("a.py", "python",
             "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n" + std::string(400, '#') + "\nf = 6\n");
  files.open("b.py", "python", "def g():\n    pass\n");
  files.change("a.py", {{1, 0}, {1, 0}}, "n = 0\n");
  files.change("b.py", {{1, 4}, {1, 8}}, "return 1");
  CHECK(texts(files.find({})) == Texts{"def g():\n    return 1\n", "a = 1\nn = 0\nb = 2\nc = 3\n"});
  CHECK(texts(files.find({"g"})).size() == 2);  // the edit in g() is shown with its definition
  CHECK(files.find({}, {}, {.recent_edits = false}).empty());
  CHECK(files.find({"g"}, {}, {.definitions = false}).size() == 2);
  files.edits.forget(files.files[0].document->id);
  CHECK(files.find({}).size() == 1);
}

TEST_CASE("edited regions move with the text") {
  DocumentStore documents(1);
  RecentEdits edits(2);
  documents.open("a", "python", 1, std::string(1000, 'x'));
  const auto change = [&](std::uint32_t begin, std::uint32_t end, const std::string& text) {
    const std::vector<ContentChange> changes = {{Range{{0, begin}, {0, end}}, text}};
    edits.note(**documents.change("a", 2, changes, PositionEncoding::utf8));
  };
  change(500, 500, "abc");
  change(0, 0, "12345");
  REQUIRE(edits.regions().size() == 2);
  CHECK(edits.regions()[1].begin == 505);
  CHECK(edits.regions()[1].end == 508);
  change(504, 506, "");
  CHECK(edits.regions().size() == 2);  // the oldest fell out, the edit began a region of its own
  CHECK(edits.regions()[0].begin == 504);
}
