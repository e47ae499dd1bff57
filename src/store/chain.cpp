#include "chain.hpp"

#include <shale/codec.hpp>

namespace shale::store {

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
    std::vector<Digest> chain;
    for (const Digest& diff_id : diff_ids)
        chain.push_back(chain.empty() ? diff_id
                                      : codec::sha256(chain.back().str() + " " + diff_id.str()));
    return chain;
}

}  // namespace shale::store
