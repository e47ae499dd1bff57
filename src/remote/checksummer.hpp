// SHA-256, 384 and 512 as other people publish them: verified, never used as names. What names
// things is codec's.
#pragma once

#include <shale/remote.hpp>

#include <memory>

namespace shale::remote {

class Checksummer {
  public:
    explicit Checksummer(HashAlgorithm algorithm);
    ~Checksummer();
    void update(Bytes bytes);
    std::string finish();  // lower-case hexadecimal; ends the computation

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shale::remote
