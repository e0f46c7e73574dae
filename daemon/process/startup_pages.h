// What a process that lives long and does little need not hold on to.
#pragma once

namespace caretd::daemon {

/// Gives back the memory that only starting needed: pages of code and constants of the program and
/// of its libraries, which are read from the page cache again where they are touched, and unused
/// heap. Other threads may run.
void release_startup_pages();

}  // namespace caretd::daemon
