#include "progress.hpp"

#include <shale/base.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <sstream>
#include <thread>

namespace shale::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kSecond = 1'000'000'000;

class ManualClock : public Clock {
  public:
    std::int64_t now_ns() const override { return now_; }
    void advance(std::int64_t ns) { now_ += ns; }

  private:
    std::atomic<std::int64_t> now_{1'700'000'000 * kSecond};
};

// A display whose output is a file.
class Screen {
  public:
    using Make = std::unique_ptr<Display> (*)(const DisplayOptions&);
    explicit Screen(Make make) {
        display_ = make({.fd = file_.get(), .activity = "Building", .clock = clock_});
    }
    Display* operator->() { return display_.get(); }
    ManualClock& clock() { return clock_; }
    std::string text() const { return read_file(path()); }
    std::string closed() {
        display_->close();
        return text();
    }

  private:
    std::string path() const { return directory_.path() + "/out"; }
    TempDir directory_;
    ManualClock clock_;
    UniqueFd file_{open_file(path(), O_WRONLY | O_CREAT | O_APPEND, 0600)};
    std::unique_ptr<Display> display_;
};

TEST(PlainProgress, PrintsAStepAsDockerDoes) {
    Screen screen(plain_display);
    screen->started(1, "[1/2] FROM scratch");
    screen->finished(1, build::Outcome::Cached, "");
    screen->started(2, "[2/2] RUN make");
    screen.clock().advance(kSecond / 2);
    screen->output(2, sandbox::OutputStream::Stdout, "hello\nwor");
    screen->output(2, sandbox::OutputStream::Stdout, "ld\n");
    screen.clock().advance(kSecond);
    screen->finished(2, build::Outcome::Done, "");
    EXPECT_EQ(screen.closed(),
              "#1 [1/2] FROM scratch\n#1 CACHED\n\n"
              "#2 [2/2] RUN make\n#2 0.500 hello\n#2 0.500 world\n#2 DONE 1.5s\n\n");
}

TEST(PlainProgress, KeepsTheLinesOfOneStepTogether) {
    Screen screen(plain_display);
    screen->started(1, "one");
    screen->output(1, sandbox::OutputStream::Stdout, "a\n");
    screen->started(2, "two");
    screen->output(2, sandbox::OutputStream::Stdout, "x\n");
    screen->output(1, sandbox::OutputStream::Stdout, "b\n");
    screen->finished(2, build::Outcome::Done, "");
    screen->finished(1, build::Outcome::Done, "");
    const auto text = screen.closed();
    EXPECT_LT(text.find("#1 0.000 a"), text.find("#1 0.000 b"));
    EXPECT_LT(text.find("#1 0.000 b"), text.find("#2 0.000 x"));
}

TEST(PlainProgress, OutputCannotForgeLines) {
    Screen screen(plain_display);
    screen->started(1, "RUN evil");
    screen->output(1, sandbox::OutputStream::Stderr, "\x1b[2J\x1b[H#9 DONE\r#9 forged\n");
    screen->finished(1, build::Outcome::Failed, "exit code: 1\n#9 DONE");
    const auto text = screen.closed();
    EXPECT_THAT(text, HasSubstr("#1 0.000 #9 forged\n"));
    EXPECT_THAT(text, HasSubstr("#1 ERROR: exit code: 1 #9 DONE\n"));
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(PlainProgress, ClipsAStepThatPrintsWithoutEnd) {
    Screen screen(plain_display);
    screen->started(1, "yes");
    const std::string block(1 << 20, 'y');
    for (int i = 0; i < 8; ++i)
        screen->output(1, sandbox::OutputStream::Stdout, block);
    screen->finished(1, build::Outcome::Done, "");
    const auto text = screen.closed();
    EXPECT_THAT(text, HasSubstr("[output clipped, log limit 2MiB reached]"));
    EXPECT_LT(text.size(), 3u << 20);
}

TEST(PlainProgress, ReportsAQuantityNowAndThenAndItsEnd) {
    Screen screen(plain_display);
    screen->started(1, "pull");
    for (std::uint64_t i = 0; i <= 1000; ++i)
        screen->status(1, "sha256:abc", i * 1000, 1'000'000);
    screen->finished(1, build::Outcome::Done, "");
    const auto text = screen.closed();
    EXPECT_THAT(text, HasSubstr("#1 sha256:abc 0B / 1.00MB"));
    EXPECT_THAT(text, HasSubstr("done"));
    EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 6);
}

TEST(PlainProgress, AWarningStandsAlone) {
    Screen screen(plain_display);
    screen->started(1, "one");
    screen->warning("be careful");
    screen->finished(1, build::Outcome::Done, "");
    EXPECT_THAT(screen.closed(), HasSubstr("\nWARN: be careful\n\n"));
}

TEST(PlainProgress, IsSilentOnceClosed) {
    Screen screen(plain_display);
    screen->started(1, "one");
    const auto before = screen.closed();
    screen->output(1, sandbox::OutputStream::Stdout, "late\n");
    screen->finished(1, build::Outcome::Done, "");
    screen->started(2, "two");
    EXPECT_EQ(screen.text(), before);
}

TEST(TtyProgress, TheLastPictureShowsEveryStepAndItsEnd) {
    Screen screen(tty_display);
    screen->started(1, "[1/3] FROM node:18");
    screen->finished(1, build::Outcome::Cached, "");
    screen->started(2, "[2/3] RUN false");
    screen->output(2, sandbox::OutputStream::Stdout, "some output\n");
    screen.clock().advance(2 * kSecond);
    screen->finished(2, build::Outcome::Failed, "exit code: 1");
    const auto text = screen.closed();
    const auto last = text.substr(text.rfind("[+]"));
    EXPECT_THAT(last, HasSubstr("[+] Building 2.0s (2/2) ERROR\x1b[K\n"));
    EXPECT_THAT(last, HasSubstr(" => CACHED [1/3] FROM node:18"));
    EXPECT_THAT(last, HasSubstr(" => ERROR [2/3] RUN false"));
    EXPECT_THAT(last, Not(HasSubstr("some output")));
}

TEST(TtyProgress, NoLineIsWiderThanTheTerminal) {
    Screen screen(tty_display);  // a file: 80 columns
    screen->started(1, std::string(300, 'n'));
    screen->output(1, sandbox::OutputStream::Stdout, std::string(300, 'o') + "\n");
    screen->finished(1, build::Outcome::Done, "");
    std::istringstream lines(screen.closed());
    for (std::string line; std::getline(lines, line);)
        EXPECT_LE(line.size(), 90u) << line;  // bytes: the mark of a cut and a control sequence
}

// A terminal puts what is erased from its top downwards into its history.
TEST(TtyProgress, NothingIsErasedAboveThePicture) {
    Screen screen(tty_display);
    for (build::VertexId id = 1; id < 5; ++id) {
        screen->started(id, "step");
        std::this_thread::sleep_for(std::chrono::milliseconds(150));
        screen->finished(id, build::Outcome::Done, "");
    }
    EXPECT_THAT(screen.closed(), Not(HasSubstr("\r\x1b[J")));
}

// The painter draws ten times a second, when it gets its turn.
bool shows(const Screen& screen, std::string_view text) {
    for (int tries = 0; tries < 1000; ++tries) {
        if (screen.text().find(text) != std::string::npos) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

TEST(TtyProgress, ALineThatIsNotEndedIsShown) {
    Screen screen(tty_display);
    screen->started(1, "RUN curl");
    screen->output(1, sandbox::OutputStream::Stderr, "\r 10%\r 57%");
    EXPECT_TRUE(shows(screen, " => => #  57%"));
    EXPECT_THAT(screen.closed(), Not(HasSubstr("10%")));
}

TEST(TtyProgress, BytesOfALayerAreReadable) {
    Screen screen(tty_display);
    screen->started(1, "pulling");
    screen->status(1, "sha256:" + std::string(64, 'a'), 1'000'000, 2'000'000);
    EXPECT_TRUE(shows(screen, "sha256:aaaaaaaaaaaa 1.00 MB / 2.00 MB"));
    screen->status(1, "standard input", 3'000'000, 0);
    EXPECT_TRUE(shows(screen, "standard input 3.00 MB")) << "nobody knows of how many";
}

TEST(RawJsonProgress, IsOneObjectALine) {
    Screen screen(rawjson_display);
    screen->started(1, "RUN \"x\"");
    screen->output(1, sandbox::OutputStream::Stderr, "raw \x1b bytes");
    screen->status(1, "layer", 5, 10);
    screen->finished(1, build::Outcome::Failed, "why\nnot");
    screen->warning("w");
    std::istringstream lines(screen.closed());
    std::vector<nlohmann::json> objects;
    for (std::string line; std::getline(lines, line);)
        objects.push_back(nlohmann::json::parse(line));
    ASSERT_EQ(objects.size(), 5u);
    EXPECT_EQ(objects[0]["vertexes"][0]["name"], "RUN \"x\"");
    EXPECT_EQ(objects[1]["logs"][0]["data"], "cmF3IBsgYnl0ZXM=");
    EXPECT_EQ(objects[1]["logs"][0]["stream"], 2);
    EXPECT_EQ(objects[2]["statuses"][0]["total"], 10);
    EXPECT_EQ(objects[3]["vertexes"][0]["error"], "why\nnot");
    EXPECT_EQ(objects[3]["vertexes"][0]["digest"], objects[0]["vertexes"][0]["digest"]);
    EXPECT_EQ(objects[4]["warnings"][0]["short"], "dw==");
}

TEST(ProgressMode, KnowsItsWords) {
    EXPECT_EQ(parse_progress(""), ProgressMode::Auto);
    EXPECT_EQ(parse_progress("none"), ProgressMode::Quiet);
    EXPECT_THROW(parse_progress("fancy"), Error);
    EXPECT_EQ(resolve_progress(ProgressMode::RawJson, 0), ProgressMode::RawJson);
}

}  // namespace
}  // namespace shale::cli
