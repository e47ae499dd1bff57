#include "checksummer.hpp"

#include <openssl/evp.h>

#include <array>
#include <new>

namespace shale::remote {
namespace {

const EVP_MD* method(HashAlgorithm algorithm) {
    switch (algorithm) {
    case HashAlgorithm::Sha256:
        return ::EVP_sha256();
    case HashAlgorithm::Sha384:
        return ::EVP_sha384();
    case HashAlgorithm::Sha512:
        return ::EVP_sha512();
    }
    SHALE_ENSURE(false);
    return nullptr;
}

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
};

void check(int status) {
    if (status != 1) fail(ErrorKind::System, "OpenSSL cannot compute a checksum");
}

}  // namespace

struct Checksummer::State {
    std::unique_ptr<EVP_MD_CTX, FreeContext> context{::EVP_MD_CTX_new()};
};

Checksummer::Checksummer(HashAlgorithm algorithm) : state_(std::make_unique<State>()) {
    if (!state_->context) throw std::bad_alloc();
    check(::EVP_DigestInit_ex(state_->context.get(), method(algorithm), nullptr));
}

Checksummer::~Checksummer() = default;

void Checksummer::update(Bytes bytes) {
    check(::EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string Checksummer::finish() {
    std::array<std::byte, EVP_MAX_MD_SIZE> value{};
    unsigned size = 0;
    check(::EVP_DigestFinal_ex(state_->context.get(),
                               reinterpret_cast<unsigned char*>(value.data()), &size));
    return to_hex(Bytes(value).first(size));
}

}  // namespace shale::remote
