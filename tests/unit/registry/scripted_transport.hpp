// A transport that plays a script: each expected request with the reply it gets, in order. What was
// asked is recorded; an unexpected request, or a script not played to its end, fails the test.
#pragma once

#include <shale/codec.hpp>
#include <shale/registry.hpp>

#include <gtest/gtest.h>

#include <deque>

namespace shale::registry {

struct Step {
    std::string request;  // "GET http://host/path"
    int status = 200;     // 0: no response at all
    std::map<std::string, std::string> headers{};
    std::string body{};
    bool breaks = false;           // the connection breaks after the body
    std::size_t reads = SIZE_MAX;  // so much of the request's body before it answers
};

struct Asked {
    std::string line;
    std::map<std::string, std::string> headers;
    std::string body;
};

class ScriptedTransport final : public HttpTransport {
  public:
    ScriptedTransport(std::deque<Step>& script, std::vector<Asked>& asked)
        : script_(script), asked_(asked) {}

    void perform(const HttpRequest& request,
                 const std::function<void(const HttpResponse&)>& on_head,
                 const std::function<void(Bytes)>& on_body) override {
        const std::size_t most = script_.empty() ? SIZE_MAX : script_.front().reads;
        Asked asked{request.method + " " + request.url, {}, read_body(request, most)};
        for (const auto& [name, value] : request.headers)
            asked.headers[name] = value;
        asked_.push_back(asked);
        if (script_.empty()) {
            ADD_FAILURE() << "not in the script: " << asked.line;
            fail(ErrorKind::System, "script ended");
        }
        const Step step = script_.front();
        script_.pop_front();
        EXPECT_EQ(asked.line, step.request);
        if (step.status == 0) fail(ErrorKind::Network, asked.line + ": Connection refused");
        on_head({step.status, step.headers});
        if (!step.body.empty()) on_body(as_bytes(step.body));
        if (step.breaks) fail(ErrorKind::Network, asked.line + ": connection reset");
    }

  private:
    static std::string read_body(const HttpRequest& request, std::size_t most) {
        std::string out;
        std::byte buffer[7];  // odd and small, so that pieces do not line up with anything
        while (request.body && out.size() < std::min<std::uint64_t>(most, request.body_bytes)) {
            const std::size_t want =
                std::min<std::size_t>(sizeof buffer, request.body_bytes - out.size());
            const std::size_t count = request.body({buffer, want});
            if (count == 0) break;
            out.append(reinterpret_cast<const char*>(buffer), count);
        }
        return out;
    }
    std::deque<Step>& script_;
    std::vector<Asked>& asked_;
};

class ScriptedTest : public testing::Test {
  protected:
    ScriptedTest() {
        options.credentials = [this](const std::string& domain) -> std::optional<Credential> {
            credential_lookups.push_back(domain);
            const auto found = credentials.find(domain);
            if (found == credentials.end()) return std::nullopt;
            return found->second;
        };
        options.sleep = [this](std::chrono::milliseconds time) { slept.push_back(time.count()); };
    }
    ~ScriptedTest() override {
        EXPECT_TRUE(script.empty()) << "never asked for: " << script.front().request;
    }

    Client& client() {
        if (!client_)
            client_ = std::make_unique<Client>(options,
                                               std::make_unique<ScriptedTransport>(script, asked));
        return *client_;
    }
    // The header of request number `index`, or "(none)".
    std::string header(std::size_t index, const std::string& name) const {
        const auto found = asked.at(index).headers.find(name);
        return found == asked.at(index).headers.end() ? "(none)" : found->second;
    }

    std::deque<Step> script;
    std::vector<Asked> asked;
    Options options;
    std::map<std::string, Credential> credentials;
    std::vector<std::string> credential_lookups;
    std::vector<std::int64_t> slept;  // milliseconds

  private:
    std::unique_ptr<Client> client_;
};

// Runs `body` and checks what it throws.
inline void expect_error(ErrorKind kind, const std::string& text,
                         const std::function<void()>& body) {
    try {
        body();
        ADD_FAILURE() << "nothing thrown; expected: " << text;
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), text);
        EXPECT_EQ(error.kind(), kind) << error.what();
    }
}

inline oci::Descriptor descriptor_of(const std::string& bytes,
                                     std::string_view type = oci::media::kLayerTar) {
    oci::Descriptor out;
    out.media_type = type;
    out.digest = codec::sha256(bytes);
    out.size = bytes.size();
    return out;
}

inline const std::string kEmptyManifest =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)"
    R"({"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":)"
    R"("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]})";

}  // namespace shale::registry
