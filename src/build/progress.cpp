// Vertex numbering and the silent renderer.
#include <shale/build.hpp>

namespace shale::build {
namespace {

class SilentProgress final : public Progress {
    void started(VertexId, const std::string&) override {}
    void output(VertexId, sandbox::OutputStream, std::string_view) override {}
    void status(VertexId, const std::string&, std::uint64_t, std::uint64_t) override {}
    void finished(VertexId, Outcome, const std::string&) override {}
    void warning(const std::string&) override {}
};

}  // namespace

std::unique_ptr<Progress> silent_progress() {
    return std::make_unique<SilentProgress>();
}

VertexId Tracker::start(const std::string& name) {
    // Held across the call so that ids reach the renderer in ascending order.
    const std::lock_guard lock(mutex_);
    progress_.started(++last_, name);
    return last_;
}

void Tracker::run(const std::string& name, const std::function<Outcome(VertexId)>& body) {
    const VertexId vertex = start(name);
    try {
        const Outcome outcome = body(vertex);
        progress_.finished(vertex, outcome, {});
    } catch (const Error& error) {  // reported here, decided by the caller
        const bool cancelled = error.kind() == ErrorKind::Cancelled;
        progress_.finished(vertex, cancelled ? Outcome::Cancelled : Outcome::Failed, error.what());
        throw;
    } catch (const std::exception& error) {
        progress_.finished(vertex, Outcome::Failed, error.what());
        throw;
    }
}

}  // namespace shale::build
