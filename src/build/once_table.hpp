// Work that several threads may want at one time and that is to be done once: the first one does
// it, the others wait for what comes of it, an error included, and nobody waits for other work.
#pragma once

#include <future>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace shale::build {

template <typename Value>
class OnceTable {
  public:
    // The value of `key` and whether this call made it. Throws what making it threw.
    template <typename Make>
    std::pair<Value, bool> get(const std::string& key, Make&& make) {
        std::promise<Value> promise;
        {
            std::unique_lock lock(mutex_);
            const auto [known, is_new] = values_.try_emplace(key);
            if (!is_new) {
                const auto future = known->second;
                lock.unlock();
                return {future.get(), false};
            }
            known->second = promise.get_future().share();
        }
        try {
            Value value = make();
            promise.set_value(value);
            return {std::move(value), true};
        } catch (...) {  // the others meet the same error
            promise.set_exception(std::current_exception());
            throw;
        }
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::shared_future<Value>> values_;
};

}  // namespace shale::build
