// The words that identity leaks are found by. Lower case (ASCII letters only are folded); matched at word borders where
// they begin or end with an ASCII letter or digit.
#pragma once

#include <span>
#include <string_view>

namespace retort::curate {

// Names that mean a model or a maker wherever they stand.
std::span<const std::string_view> plain_names();
// Names that are also people's, constellations or animals: a leak only right after words of self_frames().
std::span<const std::string_view> shared_names();
// "i am", "as", "my name is", ...: a name after one of them is the speaker's.
std::span<const std::string_view> self_frames();
// "as an ai", "i am a language model", "my training data", ...: leaks by themselves.
std::span<const std::string_view> self_phrases();
// "trained by", "developed by", ...: with a first person in the sentence, a statement about the maker.
std::span<const std::string_view> maker_phrases();
// "i", "i'm", "me", "my", "ich", ...
std::span<const std::string_view> first_persons();

}  // namespace retort::curate
