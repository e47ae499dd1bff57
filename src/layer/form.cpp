// Names and levels of forms, and those that are one stream around the tar.
#include <shale/codec_state.hpp>
#include <shale/layer_form.hpp>

#include <fmt/format.h>

#include <array>

namespace shale::layer {

namespace {

struct FormFacts {
    Form form;
    std::string_view name;
    oci::Compression compression;
};

constexpr std::array<FormFacts, 7> kForms{{
    {Form::Uncompressed, "uncompressed", oci::Compression::None},
    {Form::Gzip, "gzip", oci::Compression::Gzip},
    {Form::EStargz, "estargz", oci::Compression::Gzip},
    {Form::Zstd, "zstd", oci::Compression::Zstd},
    {Form::ZstdPlain, "zstd-plain", oci::Compression::Zstd},
    {Form::ZstdChunked, "zstd:chunked", oci::Compression::Zstd},
    {Form::ZstdStargz, "zstd:stargz", oci::Compression::Zstd},
}};

constexpr Levels kZstdLevels{-7, 22, codec::kDefaultZstdLevel};
constexpr Levels kGzipLevels{0, 9, 6};  // 6: zlib's default, and what gzip(1) and docker use
constexpr std::size_t kCopyBytes = 1 << 20;

const FormFacts& facts(Form form) {
    return kForms[static_cast<std::size_t>(form)];
}

codec::StreamFormat stream_format(Form form) {
    switch (compression_of(form)) {
    case oci::Compression::None:
        return codec::StreamFormat::Plain;
    case oci::Compression::Gzip:
        return codec::StreamFormat::Gzip;
    case oci::Compression::Zstd:
        break;
    }
    return codec::StreamFormat::Zstd;
}

Formed compress_stream(const codec::Source& tar, const FormOptions& options,
                       const codec::Sink& out) {
    const int level =
        options.form == Form::Uncompressed ? 0 : checked_level(options.form, options.level);
    Formed formed;
    codec::Sha256Stream tar_hash, blob_hash;
    codec::StreamCompressor stream(stream_format(options.form), level, [&](Bytes bytes) {
        blob_hash.update(bytes);
        formed.blob_bytes += bytes.size();
        out(bytes);
    });
    std::vector<std::byte> buffer(kCopyBytes);
    while (const auto count = tar(buffer)) {
        const Bytes bytes = Bytes(buffer).first(count);
        tar_hash.update(bytes);
        formed.tar_bytes += count;
        stream.write(bytes);
    }
    stream.finish();
    formed.diff_id = tar_hash.finish();
    formed.blob = blob_hash.finish();
    return formed;
}

}  // namespace

std::string_view form_name(Form form) {
    return facts(form).name;
}

std::string form_names() {
    std::string names;
    for (const FormFacts& known : kForms)
        names.append(names.empty() ? "" : ", ").append(known.name);
    return names;
}

Form parse_form(std::string_view name) {
    for (const FormFacts& known : kForms)
        if (known.name == name) return known.form;
    fail(ErrorKind::Invalid,
         fmt::format("unknown compression \"{}\"; known are {}", name, form_names()));
}

oci::Compression compression_of(Form form) {
    return facts(form).compression;
}

Form plain_form(oci::Compression compression) {
    switch (compression) {
    case oci::Compression::None:
        return Form::Uncompressed;
    case oci::Compression::Gzip:
        return Form::Gzip;
    case oci::Compression::Zstd:
        break;
    }
    return Form::Zstd;
}

std::optional<Levels> levels_of(Form form) {
    if (form == Form::Uncompressed) return std::nullopt;
    return compression_of(form) == oci::Compression::Gzip ? kGzipLevels : kZstdLevels;
}

int checked_level(Form form, std::optional<int> level) {
    const auto levels = levels_of(form);
    if (!levels && level)
        fail(ErrorKind::Invalid, "an uncompressed layer has no compression level");
    if (!levels) return 0;
    const int value = level.value_or(levels->standard);
    if (value < levels->lowest || value > levels->highest)
        fail(ErrorKind::Invalid,
             fmt::format("unsupported compression-level: {} ({} to {} are, for {})", value,
                         levels->lowest, levels->highest, form_name(form)));
    return value;
}

Formed compress_tar(const codec::Source& tar, const std::string& what, const FormOptions& options,
                    const codec::Sink& out) {
    SHALE_ENSURE(!is_seekable(options.form));
    if (options.form != Form::Zstd) return compress_stream(tar, options, out);
    WriteOptions framed;
    framed.level = checked_level(options.form, options.level);
    framed.threads = options.threads;
    framed.memory_bytes = options.memory_bytes;
    const Written written = reframe(tar, what, framed, out);
    return {written.blob, written.blob_bytes, written.diff_id, written.toc.tar_bytes, {}};
}

}  // namespace shale::layer
