// One gzip member, compressed on several threads.
#pragma once

#include <shale/codec.hpp>

#include <memory>

namespace shale::codec {

// The input is cut into blocks; each is deflated by itself, with the 32 KiB before it as
// dictionary, and ends on a byte boundary, so that the blocks one after another are one deflate
// stream. The bytes depend on input and level alone, never on the number of threads or the pieces
// written.
//
// `output` is called on the thread that calls write() and finish().
class GzipEncoder {
  public:
    explicit GzipEncoder(int level);  // Invalid outside -1..9
    ~GzipEncoder();
    void write(Bytes bytes, const Sink& output);
    void finish(const Sink& output);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::codec
