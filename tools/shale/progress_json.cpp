// The rawjson display: one object per line with the members vertexes, statuses, logs and warnings,
// as BuildKit's clients print their event stream. Bytes are base64 there, so are they here. Output
// of steps is not made printable: this is for programs.
#include "progress.hpp"

#include <shale/base.hpp>
#include <shale/codec.hpp>

#include <nlohmann/json.hpp>

#include <map>
#include <mutex>

namespace shale::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string base64(std::string_view bytes) {
    static constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        std::uint32_t group = 0;
        const auto count = std::min<std::size_t>(3, bytes.size() - at);
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
        for (std::size_t i = 0; i < 4; ++i)
            out.push_back(i <= count ? kAlphabet[group >> (18 - 6 * i) & 63] : '=');
    }
    return out;
}

class RawJsonDisplay final : public Display {
  public:
    explicit RawJsonDisplay(const DisplayOptions& options)
        : fd_(options.fd), clock_(options.clock) {}

    void started(build::VertexId id, const std::string& name) override;
    void output(build::VertexId id, sandbox::OutputStream stream, std::string_view text) override;
    void status(build::VertexId id, const std::string& what, std::uint64_t current,
                std::uint64_t total) override;
    void finished(build::VertexId id, build::Outcome outcome, const std::string& message) override;
    void warning(const std::string& text) override;
    void close() override {}

  private:
    struct Step {
        std::string digest, name, started;
    };
    std::string now() const { return format_rfc3339(clock_.now_ns()); }
    Json vertex(const Step& step) const;
    void print(const char* member, Json value);

    const int fd_;
    const Clock& clock_;
    std::mutex mutex_;  // held while writing: lines must not mix
    std::map<build::VertexId, Step> steps_;
};

Json RawJsonDisplay::vertex(const Step& step) const {
    return {{"digest", step.digest}, {"name", step.name}, {"started", step.started}};
}

void RawJsonDisplay::print(const char* member, Json value) {
    const Json line = {{member, Json::array({std::move(value)})}};
    try {
        write_all(fd_, as_bytes(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"),
                  "standard error");
    } catch (const Error&) {
        // Nobody reads the events any more; the build goes on without an audience.
    }
}

void RawJsonDisplay::started(build::VertexId id, const std::string& name) {
    std::lock_guard lock(mutex_);
    // BuildKit's digest names what a vertex does; ours only has to tell vertices of one run apart.
    const auto digest = codec::sha256(std::to_string(id) + "\n" + name).str();
    const auto& step = steps_[id] = Step{digest, name, now()};
    print("vertexes", vertex(step));
}

void RawJsonDisplay::output(build::VertexId id, sandbox::OutputStream stream,
                            std::string_view text) {
    std::lock_guard lock(mutex_);
    const int number = stream == sandbox::OutputStream::Stdout ? 1 : 2;
    print("logs", {{"vertex", steps_[id].digest},
                   {"stream", number},
                   {"data", base64(text)},
                   {"timestamp", now()}});
}

void RawJsonDisplay::status(build::VertexId id, const std::string& what, std::uint64_t current,
                            std::uint64_t total) {
    std::lock_guard lock(mutex_);
    Json value = {{"id", what},
                  {"vertex", steps_[id].digest},
                  {"name", what},
                  {"total", total},
                  {"current", current},
                  {"timestamp", now()},
                  {"started", steps_[id].started}};
    if (total > 0 && current >= total) value["completed"] = now();
    print("statuses", std::move(value));
}

void RawJsonDisplay::finished(build::VertexId id, build::Outcome outcome,
                              const std::string& message) {
    std::lock_guard lock(mutex_);
    Json value = vertex(steps_[id]);
    value["completed"] = now();
    if (outcome == build::Outcome::Cached) value["cached"] = true;
    if (outcome == build::Outcome::Failed) value["error"] = message;
    if (outcome == build::Outcome::Cancelled) value["error"] = "canceled";
    print("vertexes", std::move(value));
}

void RawJsonDisplay::warning(const std::string& text) {
    std::lock_guard lock(mutex_);
    print("warnings", {{"level", 1}, {"short", base64(text)}});
}

}  // namespace

std::unique_ptr<Display> rawjson_display(const DisplayOptions& options) {
    return std::make_unique<RawJsonDisplay>(options);
}

}  // namespace shale::cli
