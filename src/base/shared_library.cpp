// dlopen(3) with errors that name the library.
#include <shale/shared_library.hpp>

#include <dlfcn.h>

namespace shale {

SharedLibrary::SharedLibrary(const char* soname)
    : soname_(soname), handle_(::dlopen(soname, RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) {
        const char* why = ::dlerror();
        fail(ErrorKind::Unsupported, std::string("cannot load a library that this needs: ") +
                                         (why != nullptr ? why : soname));
    }
}

SharedLibrary::Symbol SharedLibrary::get(const char* name) const {
    void* address = ::dlsym(handle_, name);
    if (!address) fail(ErrorKind::Unsupported, std::string(soname_) + " has no function " + name);
    return Symbol(address);
}

}  // namespace shale
