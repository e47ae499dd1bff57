// Blobs: the writer that gives bytes their name, and verified reading of small documents.
//
// Names are made while writing, by the writer or by whoever gave it the bytes; large blobs are not
// hashed again when they are read, documents are.
#include "state.hpp"

#include <shale/codec.hpp>

#include <sys/stat.h>

#include <algorithm>

namespace shale::store {

namespace {
// Hash and write in pieces that stay in the processor's cache between the two.
constexpr std::size_t kBufferBytes = 512 << 10;

// True if a whole file is at `path`, and makes sure that it stays: whoever renamed it there may
// have been killed before it could sync the directory.
bool is_settled(const std::string& path, std::uint64_t bytes) {
    struct stat status {};
    const bool present = ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
                         static_cast<std::uint64_t>(status.st_size) == bytes;
    if (present) sync_directory_of(path);
    return present;
}

}  // namespace

struct BlobWriter::State {
    State(Session& session, std::string blob_directory, BlobFiles& open_files, bool hashes)
        : directory(std::move(blob_directory)), files(open_files),
          file(session, "blob", TempFile::Length::Long) {
        if (hashes) hash.emplace();
    }
    void take(Bytes bytes) {
        if (hash) hash->update(bytes);
        file.write(bytes);
    }
    void flush() {
        take(as_bytes(buffer));
        buffer.clear();
    }

    std::string directory;
    BlobFiles& files;
    TempFile file;
    std::optional<codec::Sha256> hash;
    std::string buffer;
    std::uint64_t size = 0;
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter::~BlobWriter() = default;

std::uint64_t BlobWriter::size() const {
    return state_->size;
}

void BlobWriter::write(Bytes bytes) {
    state_->size += bytes.size();
    if (state_->buffer.size() + bytes.size() < kBufferBytes) {
        state_->buffer.append(as_text(bytes));
        return;
    }
    state_->flush();
    for (; bytes.size() >= kBufferBytes; bytes = bytes.subspan(kBufferBytes))
        state_->take(bytes.first(kBufferBytes));
    state_->buffer = as_text(bytes);
}

Digest BlobWriter::commit(const std::optional<Digest>& expected) {
    SHALE_ENSURE(state_);  // a writer commits once
    const auto state = std::move(state_);
    state->flush();
    SHALE_ENSURE(state->hash || expected);
    const Digest digest = state->hash ? state->hash->finish() : *expected;
    if (expected && digest != *expected)
        fail(ErrorKind::Corrupt, "digest mismatch: expected " + expected->str() + ", the " +
                                     std::to_string(state->size) + " bytes hash to " +
                                     digest.str());
    const std::string path = join_path(state->directory, digest.hex());
    if (!is_settled(path, state->size)) {
        state->file.publish(path);  // also over a file cut short by something else
        state->files.forget(digest);
    }
    return digest;
}

bool Store::has_twin(const Digest& layer) const {
    return state_->tocs->has_twin(layer);
}

bool Store::has_blob(const Digest& blob) const {
    return path_exists(blob_path(blob));
}
bool Store::has_whole(const oci::Descriptor& blob) {
    return has_blob(blob.digest) && blob_size(blob.digest) == blob.size;
}
bool Store::has_layers_of(const oci::Manifest& manifest) {
    return std::ranges::all_of(manifest.layers,
                               [this](const auto& layer) { return has_whole(layer); });
}
std::string Store::blob_path(const Digest& blob) const {
    return state_->blob_path(blob);
}

BlobWriter Store::new_blob(Hashing hashing) {
    state_->require_writable();
    return BlobWriter(std::make_unique<BlobWriter::State>(state_->session, state_->layout.blobs,
                                                          state_->blobs, hashing == Hashing::Here));
}

Digest Store::put_blob(Bytes bytes) {
    // Documents are mostly there already: a rebuild makes the same ones.
    const Digest digest = codec::sha256(bytes);
    if (is_settled(blob_path(digest), bytes.size())) return digest;
    BlobWriter writer = new_blob();
    writer.write(bytes);
    return writer.commit(digest);
}

std::uint64_t Store::blob_size(const Digest& blob) {
    return state_->blobs.blob_size(blob);
}

void Store::read_blob(const Digest& blob, std::uint64_t offset, MutableBytes out) {
    state_->blobs.read_blob(blob, offset, out);
}

std::string Store::read_document(const Digest& blob, std::uint64_t limit) {
    const std::uint64_t bytes = state_->blobs.blob_size(blob);
    if (bytes > limit)
        fail(ErrorKind::Invalid, "document '" + blob_path(blob) + "' has " + std::to_string(bytes) +
                                     " bytes; at most " + std::to_string(limit) + " are accepted");
    std::string text(bytes, '\0');
    state_->blobs.read_blob(blob, 0, std::as_writable_bytes(std::span(text)));
    const Digest found = codec::sha256(text);
    if (found != blob)
        fail(ErrorKind::Corrupt, "document " + blob.str() + " is damaged: '" + blob_path(blob) +
                                     "' hashes to " + found.str());
    return text;
}

oci::BlobSource& Store::framed() {
    return state_->framed;
}

std::shared_ptr<const layer::Toc> Store::toc(const oci::Descriptor& layer,
                                             const std::optional<Digest>& diff_id) {
    return state_->tocs->get(layer, diff_id);
}

void Store::put_contents(const Digest& layer, std::shared_ptr<const layer::ContentTable> table) {
    state_->contents->put(layer, std::move(table));
}

layer::ContentIndex Store::content_index(const std::vector<Digest>& sources) {
    layer::ContentIndex index;
    for (const Digest& blob : sources)
        index.add(blob, state_->contents->get(blob));
    return index;
}

}  // namespace shale::store
