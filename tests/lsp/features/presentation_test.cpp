#include "lsp/features/presentation.h"

#include <string>

#include "lsp/documents/document_store.h"
#include "tests/helpers/catch.h"

using namespace caretd::lsp;

TEST_CASE("an item of the popup is named by its first line, whatever ends the file's lines") {
  DocumentStore documents(1);
  const std::string text = "s = '😀'; pri\r\n";
  const DocumentSnapshot document = documents.open("file:///a.py", "python", 1, text);
  const std::size_t cursor = text.find('\r');
  const Offer offer{1, cursor, cursor, "nt(s)\r\nprint()", 0};
  const CompletionItem item = to_popup_item(offer, *document, PositionEncoding::utf16);
  CHECK(item.label == "print(s)");
  CHECK(item.filter_text == "print(s)");
  CHECK(item.new_text == "print(s)\r\nprint()");
  CHECK(item.range == Range{{0, 10}, {0, 13}});
}
