// Column: one array of a tree. Either grown in memory or a view of a mapped file.
#pragma once

#include <shale/base.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace shale::snapshot {

// For plain values only, which realloc() may move: large blocks grow by moving page tables, so a
// growing column never lies in memory twice, as a vector would.
template <typename T>
class Column {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    Column() = default;
    Column(Column&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Column& operator=(Column&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Column() {
        if (capacity_ > 0) std::free(data_);
    }

    // Shows values that lie elsewhere, must stay there, and are not changed through it.
    void view(const void* data, std::size_t size) {
        SHALE_ENSURE(size_ == 0 && capacity_ == 0);
        data_ = static_cast<T*>(const_cast<void*>(data));
        size_ = size;
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const T* data() const { return data_; }
    T* data() { return data_; }
    const T& operator[](std::size_t at) const { return data_[at]; }
    T& operator[](std::size_t at) { return data_[at]; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }

    void reserve(std::size_t size) {
        if (size > capacity_) grow(size);
    }
    void push_back(const T& value) {
        if (size_ == capacity_) {
            const T copy = value;  // it may lie in the block that moves
            grow(std::max<std::size_t>(16, size_ + size_ / 2));
            data_[size_++] = copy;
        } else {
            data_[size_++] = value;
        }
    }
    void append(const T* values, std::size_t count) {
        if (count == 0) return;
        if (size_ + count > capacity_) grow(std::max(size_ + count, size_ + size_ / 2));
        std::copy_n(values, count, data_ + size_);
        size_ += count;
    }
    void resize(std::size_t size, const T& value = T{}) {
        reserve(size);
        if (size > size_) std::fill(data_ + size_, data_ + size, value);
        size_ = size;
    }
    void clear() { size_ = 0; }

    // As they lie in files.
    Bytes bytes() const { return {reinterpret_cast<const std::byte*>(data_), size_ * sizeof(T)}; }
    void assign(Bytes bytes) {
        resize(bytes.size() / sizeof(T));
        if (size_ > 0) std::memcpy(static_cast<void*>(data_), bytes.data(), size_ * sizeof(T));
    }

  private:
    void grow(std::size_t capacity) {
        SHALE_ENSURE(size_ == 0 || capacity_ > 0);  // not a view
        void* moved = std::realloc(static_cast<void*>(data_), capacity * sizeof(T));
        if (!moved) throw std::bad_alloc();
        data_ = static_cast<T*>(moved);
        capacity_ = capacity;
    }

    T* data_ = nullptr;
    std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace shale::snapshot
