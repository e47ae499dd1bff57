// SHA-256 through OpenSSL's EVP interface, XXH3 through xxHash.
#include <shale/codec.hpp>

#include <openssl/err.h>
#include <openssl/evp.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shale::codec {

namespace {

// EVP_sha256() makes every EVP_DigestInit look its provider up again, under a lock; fetched once,
// an initialisation costs a few dozen nanoseconds. Never freed: it serves until the process ends.
const EVP_MD* fetched_sha256() {
    static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    if (method == nullptr) fail(ErrorKind::System, "OpenSSL provides no SHA-256");
    return method;
}

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

void check(int status, const char* call) {
    if (status == 1) return;
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    fail(ErrorKind::System, std::string(call) + ": " + text);
}

}  // namespace

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, FreeContext> context{EVP_MD_CTX_new()};

    State() {
        if (!context) throw std::bad_alloc();
    }
    void restart() {
        check(EVP_DigestInit_ex2(context.get(), fetched_sha256(), nullptr), "EVP_DigestInit_ex2");
    }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    state_->restart();
}

Sha256::Sha256(const Sha256& other) : state_(std::make_unique<State>()) {
    check(EVP_MD_CTX_copy_ex(state_->context.get(), other.state_->context.get()),
          "EVP_MD_CTX_copy_ex");
}

Sha256& Sha256::operator=(const Sha256& other) {
    if (this != &other) *this = Sha256(other);
    return *this;
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(Bytes bytes) {
    check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()), "EVP_DigestUpdate");
}

Digest Sha256::finish() {
    Digest digest;
    check(EVP_DigestFinal_ex(state_->context.get(), digest.bytes.data(), nullptr),
          "EVP_DigestFinal_ex");
    state_->restart();
    return digest;
}

Digest sha256(Bytes bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.finish();
}

Xxh128 xxh3_128(Bytes bytes) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.low64, hash.high64};
}

std::uint64_t xxh3_64(Bytes bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace shale::codec
