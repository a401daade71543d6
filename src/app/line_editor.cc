#include "app/line_editor.h"

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>

#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace retort::app {

struct LineEditor::State {
  EditLine* edit = nullptr;
  History* history = nullptr;
  std::string prompt, file;
  int wake = -1;
  bool interrupted = false;

  static char* prompt_of(EditLine* edit) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return static_cast<State*>(self)->prompt.data();
  }

  // One byte of standard input, or false: the end, or a signal.
  bool byte(unsigned char& out) {
    for (;;) {
      pollfd ready[2] = {{STDIN_FILENO, POLLIN, 0}, {wake, POLLIN, 0}};
      if (::poll(ready, 2, -1) < 0 && errno != EINTR) return false;
      if (ready[1].revents != 0) {
        char waste[64];
        while (::read(wake, waste, sizeof waste) > 0) {
        }
        interrupted = true;
        return false;
      }
      if (ready[0].revents == 0) continue;
      const ssize_t n = ::read(STDIN_FILENO, &out, 1);
      if (n < 0 && errno == EINTR) continue;
      return n == 1;
    }
  }

  // A character for libedit: 1, or 0 at the end and -1 after a signal. What is no UTF-8 is passed over.
  static int character(EditLine* edit, wchar_t* out) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    State& state = *static_cast<State*>(self);
    std::mbstate_t shift{};
    for (;;) {
      unsigned char byte = 0;
      if (!state.byte(byte)) {
        errno = state.interrupted ? EINTR : 0;
        return state.interrupted ? -1 : 0;
      }
      if (byte == 0) {  // a Ctrl-D that was typed while nobody read
        *out = 4;
        return 1;
      }
      const char one = static_cast<char>(byte);
      const size_t n = std::mbrtowc(out, &one, 1, &shift);
      if (n == 1) return 1;
      if (n == static_cast<size_t>(-1)) shift = {};
    }
  }
};

LineEditor::LineEditor(int wake, const std::string& history) : state_(std::make_unique<State>()) {
  use_utf8();
  state_->wake = wake;
  state_->file = history;
  state_->edit = el_init("retort", stdin, stderr, stderr);
  state_->history = history_init();
  HistEvent event;
  ::history(state_->history, &event, H_SETSIZE, 1000);
  ::history(state_->history, &event, H_SETUNIQUE, 1);
  if (!history.empty()) ::history(state_->history, &event, H_LOAD, history.c_str());
  el_set(state_->edit, EL_CLIENTDATA, state_.get());
  el_set(state_->edit, EL_PROMPT, &State::prompt_of);
  el_set(state_->edit, EL_GETCFN, &State::character);
  el_set(state_->edit, EL_EDITOR, "emacs");
  el_set(state_->edit, EL_SIGNAL, 0);
  el_set(state_->edit, EL_HIST, &::history, state_->history);
  el_set(state_->edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
}

LineEditor::~LineEditor() {
  HistEvent event;
  if (!state_->file.empty()) ::history(state_->history, &event, H_SAVE, state_->file.c_str());
  el_end(state_->edit);
  history_end(state_->history);
}

LineEditor::Got LineEditor::next(const std::string& prompt, std::string& line) {
  state_->prompt = prompt;
  state_->interrupted = false;
  int count = 0;
  el_set(state_->edit, EL_PREP_TERM, 1);  // raw before the prompt invites to type, so that no key is echoed twice
  const char* text = el_gets(state_->edit, &count);
  if (state_->interrupted) {
    return Got::Interrupt;
  }
  if (text == nullptr || count <= 0) return Got::End;
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (line.find_first_not_of(" \t") != std::string::npos) {
    HistEvent event;
    ::history(state_->history, &event, H_ENTER, line.c_str());
  }
  return Got::Line;
}

int terminal_columns(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int character_columns(char32_t character) {
  const int columns = ::wcwidth(static_cast<wchar_t>(character));
  return columns < 0 ? 0 : columns;
}

void use_utf8() { std::setlocale(LC_CTYPE, "C.UTF-8"); }

}  // namespace retort::app
