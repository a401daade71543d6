// Members: the map of a JSON object. It keeps the order of insertion, as nlohmann's ordered_map does, and finds a name
// in constant time however many there are: ordered_map looks through all of them for each new one, which an object of a
// million members turns into hours. Few members are looked through, more have an index by hash.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace retort {

template <class Key, class T, class /*Less*/ = std::less<Key>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
class Members : private std::vector<std::pair<const Key, T>, Allocator> {
  using Items = std::vector<std::pair<const Key, T>, Allocator>;

 public:
  using key_type = Key;
  using mapped_type = T;
  using key_compare = std::equal_to<>;
  using Items::begin;
  using Items::cbegin;
  using Items::cend;
  using Items::empty;
  using Items::end;
  using Items::max_size;
  using Items::size;
  using typename Items::allocator_type;
  using typename Items::const_iterator;
  using typename Items::const_pointer;
  using typename Items::const_reference;
  using typename Items::difference_type;
  using typename Items::iterator;
  using typename Items::pointer;
  using typename Items::reference;
  using typename Items::size_type;
  using typename Items::value_type;

  Members() = default;
  template <class It>
  Members(It first, It last) {
    insert(first, last);
  }
  Members(std::initializer_list<value_type> items) { insert(items.begin(), items.end()); }

  std::pair<iterator, bool> emplace(Key key, T value) {
    const uint64_t hash = hash_of(key);
    if (const size_type at = place(key, hash); at < size()) return {begin() + static_cast<difference_type>(at), false};
    Items::emplace_back(std::move(key), std::move(value));
    added(hash);
    return {std::prev(end()), true};
  }
  std::pair<iterator, bool> insert(const value_type& value) { return emplace(value.first, value.second); }
  std::pair<iterator, bool> insert(value_type&& value) { return emplace(value.first, std::move(value.second)); }
  template <class It>
  void insert(It first, It last) {
    for (; first != last; ++first) insert(*first);
  }

  template <class K>
  iterator find(const K& key) {
    return begin() + static_cast<difference_type>(place(key, hash_of(key)));
  }
  template <class K>
  const_iterator find(const K& key) const {
    return begin() + static_cast<difference_type>(place(key, hash_of(key)));
  }
  template <class K>
  size_type count(const K& key) const {
    return find(key) == end() ? 0 : 1;
  }
  template <class K>
  T& at(const K& key) {
    const iterator it = find(key);
    if (it == end()) throw std::out_of_range("key not found");
    return it->second;
  }
  template <class K>
  const T& at(const K& key) const {
    const const_iterator it = find(key);
    if (it == end()) throw std::out_of_range("key not found");
    return it->second;
  }
  T& operator[](Key key) { return emplace(std::move(key), T{}).first->second; }
  template <class K>
  const T& operator[](const K& key) const {
    return at(key);
  }

  template <class K>
    requires(!std::is_convertible_v<const K&, const_iterator> && !std::is_convertible_v<const K&, iterator>)
  size_type erase(const K& key) {
    const iterator it = find(key);
    if (it == end()) return 0;
    erase(it);
    return 1;
  }
  iterator erase(iterator at) { return erase(at, std::next(at)); }
  iterator erase(iterator first, iterator last) {
    const auto offset = first - begin();
    // Names are const, so what stays is moved to a new vector.
    Items kept;
    kept.reserve(size());
    for (iterator it = begin(); it != end(); ++it) {
      if (it < first || it >= last) kept.emplace_back(it->first, std::move(it->second));
    }
    Items::swap(kept);
    index();
    return begin() + offset;
  }
  void clear() {
    Items::clear();
    slots_.clear();
  }

  friend bool operator==(const Members& a, const Members& b) {
    return static_cast<const Items&>(a) == static_cast<const Items&>(b);
  }
  friend bool operator<(const Members& a, const Members& b) {
    return static_cast<const Items&>(a) < static_cast<const Items&>(b);
  }

 private:
  static constexpr size_type kFew = 16;

  static uint64_t hash_of(std::string_view key) { return std::hash<std::string_view>()(key); }
  // Where `key` stands; size() where it does not.
  size_type place(std::string_view key, uint64_t hash) const {
    if (slots_.empty()) {
      size_type at = 0;
      while (at < size() && std::string_view(Items::operator[](at).first) != key) ++at;
      return at;
    }
    for (size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot] == 0) return size();
      const size_type at = slots_[slot] - 1;
      if (std::string_view(Items::operator[](at).first) == key) return at;
    }
  }
  void note(size_type at, uint64_t hash) {
    size_t slot = hash & (slots_.size() - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = at + 1;
  }
  void added(uint64_t hash) {
    if (size() <= kFew) return;
    if (2 * size() > slots_.size())
      index();
    else
      note(size() - 1, hash);
  }
  void index() {
    slots_.clear();
    if (size() <= kFew) return;
    size_t slots = 64;
    while (slots < 4 * size()) slots *= 2;
    slots_.resize(slots);
    for (size_type i = 0; i < size(); ++i) note(i, hash_of(Items::operator[](i).first));
  }

  // With more than kFew members: at the name's hash, or behind it up to the next 0, its place + 1.
  std::vector<size_t> slots_;
};

}  // namespace retort
