// shared_library: libraries that are loaded when something first needs them.
//
// The other door of `base`, for the few modules whose library brings many others along: to map and
// relocate thirty of them takes longer than a build of which everything is cached.
#pragma once

#include <shale/base.hpp>

namespace shale {

// Stays loaded until the process ends. Safe from any thread.
class SharedLibrary {
  public:
    // By its soname, looked for where the dynamic linker looks. Unsupported if there is none.
    explicit SharedLibrary(const char* soname);
    SharedLibrary(const SharedLibrary&) = delete;

    class Symbol {
      public:
        explicit Symbol(void* address) : address_(address) {}
        template <typename Function>
        operator Function*() const {  // NOLINT(google-explicit-constructor): to what it is declared
            return reinterpret_cast<Function*>(address_);
        }

      private:
        void* address_;
    };
    // Unsupported, naming both, if it has no such function. The caller declares the type.
    Symbol get(const char* name) const;

  private:
    const char* soname_;
    void* handle_;
};

}  // namespace shale
