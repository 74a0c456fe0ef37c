#include "runtime/oci/command_line.h"

#include "engine/base/error.h"

namespace mydocker::oci {
namespace {

const Option* find_option(const std::vector<Option>& options, std::string_view name) {
  for (const Option& option : options) {
    if (name.size() == 1 ? option.letter == name.front() : option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace

Arguments::Arguments(const std::vector<std::string>& words, const std::vector<Option>& options, bool interspersed) {
  std::size_t i = 0;
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      ++i;
      break;
    }
    if (word.size() < 2 || word.front() != '-') {
      if (!interspersed) break;
      positional_.push_back(word);
      continue;
    }
    const std::size_t dashes = word.starts_with("--") ? 2 : 1;  // Go's flag package takes one dash as well
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(dashes, equals == std::string::npos ? equals : equals - dashes);
    const Option* option = find_option(options, name);
    if (option == nullptr) throw Error(ErrorKind::invalid_argument, concat("unknown flag: ", word));
    std::string value = "true";
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (!option->flag) {
      if (i + 1 == words.size()) throw Error(ErrorKind::invalid_argument, concat("flag needs a value: ", word));
      value = words[++i];
    }
    values_[std::string(option->name)].push_back(std::move(value));
  }
  positional_.insert(positional_.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
}

bool Arguments::has(std::string_view name) const {
  const auto found = values_.find(name);
  return found != values_.end() && found->second.back() != "false";
}

std::string Arguments::get(std::string_view name, std::string otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::move(otherwise) : found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

const std::string& Arguments::positional(std::size_t index, std::string_view what) const {
  if (index >= positional_.size()) throw Error(ErrorKind::invalid_argument, concat("missing argument: ", what));
  return positional_[index];
}

}  // namespace mydocker::oci
