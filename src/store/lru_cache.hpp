// The most recently used values up to a total weight. Values are handed out by copy, so shared
// pointers keep evicted ones alive for whoever still uses them.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

namespace shale::store {

// Not safe from several threads; the owner locks.
template <typename Key, typename Value, typename Hash>
class LruCache {
  public:
    explicit LruCache(std::size_t capacity) : capacity_(capacity) {}

    std::optional<Value> find(const Key& key) {
        const auto found = places_.find(key);
        if (found == places_.end()) return std::nullopt;
        items_.splice(items_.begin(), items_, found->second);
        return found->second->value;
    }
    // A value heavier than the whole cache is kept until the next one comes.
    void put(const Key& key, Value value, std::size_t weight = 1) {
        erase(key);
        items_.push_front({key, std::move(value), weight});
        places_[key] = items_.begin();
        total_ += weight;
        while (total_ > capacity_ && items_.size() > 1)
            erase(Key(items_.back().key));
    }
    void erase(const Key& key) {
        const auto found = places_.find(key);
        if (found == places_.end()) return;
        total_ -= found->second->weight;
        items_.erase(found->second);
        places_.erase(found);
    }
    std::size_t size() const { return items_.size(); }

  private:
    struct Item {
        Key key;
        Value value;
        std::size_t weight;
    };
    std::size_t capacity_, total_ = 0;
    std::list<Item> items_;  // most recent first
    std::unordered_map<Key, typename std::list<Item>::iterator, Hash> places_;
};

}  // namespace shale::store
