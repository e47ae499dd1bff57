// Builds, their logs, and the trees they share. Trees are cut into pieces where their bytes say so:
// two trees of a million files that differ in one share all but a few of their pieces. Of a tree
// that shares most of another (shale/snapshot_file.hpp) only the patch is written, and the other,
// its base, is kept with it: nobody has to go through a million entries to note one. Every value is
// one zstd frame behind the length of its content; a row that does not decode is treated as absent.
#include "sqlite.hpp"

#include <shale/build_history.hpp>
#include <shale/chunker.hpp>
#include <shale/codec.hpp>
#include <shale/snapshot_file.hpp>

#include <algorithm>
#include <cstring>
#include <set>

namespace shale::store {

namespace {

constexpr std::int64_t kVersion = 3;
constexpr int kBusyMs = 60'000;
constexpr std::uint64_t kPieceBytes = 64 << 10;  // half to twice that
constexpr const char* kSchema = R"(
    CREATE TABLE builds(id BLOB PRIMARY KEY, started_ns INTEGER NOT NULL, document BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX builds_by_time ON builds(started_ns);
    CREATE TABLE logs(build BLOB NOT NULL, step INTEGER NOT NULL, text BLOB NOT NULL,
                      PRIMARY KEY(build, step)) WITHOUT ROWID;
    CREATE TABLE trees(digest BLOB PRIMARY KEY, bytes INTEGER NOT NULL, pieces BLOB NOT NULL,
                       base BLOB) WITHOUT ROWID;
    CREATE TABLE pieces(digest BLOB PRIMARY KEY, piece BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE tree_uses(build BLOB NOT NULL, digest BLOB NOT NULL,
                           PRIMARY KEY(build, digest)) WITHOUT ROWID;
    CREATE INDEX uses_by_tree ON tree_uses(digest);
)";

Bytes bytes_of(const Digest& digest) {
    return std::as_bytes(std::span(digest.bytes));
}

class Packer {
  public:
    std::string pack(std::string_view content) {
        std::string packed;
        put_little(packed, static_cast<std::uint64_t>(content.size()));
        compressor_.compress(as_bytes(content), packed);
        return packed;
    }

  private:
    codec::FrameCompressor compressor_{1};
};

std::optional<std::string> unpack(Bytes packed, std::uint64_t limit) {
    try {
        ByteReader reader(packed, "build history");
        const auto size = reader.u64();
        if (size > limit) return std::nullopt;
        std::string content(size, '\0');
        codec::FrameDecompressor().decompress(reader.take(reader.remaining()),
                                              std::as_writable_bytes(std::span(content)));
        return content;
    } catch (const Error&) {  // a damaged row is one that is not there
        return std::nullopt;
    }
}

std::vector<Digest> digests_of(Bytes bytes) {
    std::vector<Digest> digests(bytes.size() / sizeof(Digest));
    std::memcpy(digests.data(), bytes.data(), digests.size() * sizeof(Digest));
    return digests;
}

struct NewTree {
    std::string pieces;  // digests, one after another
    std::uint64_t bytes = 0;
    std::optional<Digest> base;  // set: it is a patch on that tree
};
struct NewTrees {
    std::int64_t version = 0;  // of the file when they were packed, as other connections change it
    std::map<Digest, NewTree> trees;
    std::map<Digest, std::string> pieces;  // packed
    std::set<Digest> too_large, left_out;  // trees that are not kept
};

}  // namespace

struct BuildHistory::State {
    explicit State(const std::string& path) : connection(path, kBusyMs) {
        connection.use_schema(kSchema, kVersion, "build history");
    }
    std::int64_t number(const char* query) {
        SqliteStatement statement(connection, query);
        return statement.step() ? statement.integer(0) : 0;
    }
    // Runs a statement whose parameters are these.
    void run(const char* text, std::initializer_list<Bytes> blobs,
             std::initializer_list<std::int64_t> numbers = {}) {
        SqliteStatement statement(connection, text);
        int at = 0;
        for (const Bytes blob : blobs)
            statement.bind_blob(++at, blob);
        for (const auto value : numbers)
            statement.bind_int(++at, value);
        statement.step();
    }
    void begin() { connection.run("BEGIN IMMEDIATE"); }
    void commit() { connection.run("COMMIT"); }
    void forget(Bytes id) {
        run("DELETE FROM builds WHERE id = ?1", {id});
        run("DELETE FROM logs WHERE build = ?1", {id});
        run("DELETE FROM tree_uses WHERE build = ?1", {id});
    }
    void forget_unused_trees() {
        connection.run("DELETE FROM trees WHERE digest NOT IN (SELECT digest FROM tree_uses)");
        if (::sqlite3_changes(connection.get()) > 0) forget_unused_pieces();
    }
    void forget_unused_pieces() {
        std::set<Digest> used;
        {
            SqliteStatement rows(connection, "SELECT pieces FROM trees");
            while (rows.step())
                for (const Digest& piece : digests_of(rows.blob(0)))
                    used.insert(piece);
        }
        std::vector<Digest> unused;
        {
            SqliteStatement rows(connection, "SELECT digest FROM pieces");
            while (rows.step())
                for (const Digest& piece : digests_of(rows.blob(0)))
                    if (!used.contains(piece)) unused.push_back(piece);
        }
        for (const Digest& piece : unused)
            run("DELETE FROM pieces WHERE digest = ?1", {bytes_of(piece)});
    }
    std::int64_t bytes() {
        return number("SELECT (SELECT coalesce(sum(length(document)), 0) FROM builds) + "
                      "(SELECT coalesce(sum(length(text)), 0) FROM logs) + "
                      "(SELECT coalesce(sum(length(pieces)), 0) FROM trees) + "
                      "(SELECT coalesce(sum(length(piece)), 0) FROM pieces)");
    }
    bool has(const char* query, const Digest& digest) {
        SqliteStatement statement(connection, query);
        statement.bind_blob(1, bytes_of(digest));
        return statement.step();
    }
    bool has_tree(const Digest& digest) {
        return has("SELECT 1 FROM trees WHERE digest = ?1", digest);
    }
    bool has_piece(const Digest& digest) {
        return has("SELECT 1 FROM pieces WHERE digest = ?1", digest);
    }
    // Trees that are new here, ready to be written: packing a large one takes a while, during which
    // nobody should have to wait for the file.
    // `trusting`: what other trees are made of is believed to be here.
    NewTrees pack_new(const std::vector<const snapshot::Tree*>& trees, bool trusting) {
        NewTrees packed;
        packed.version = version();
        std::optional<std::set<Digest>> known;
        for (const auto* tree : trees)
            if (is_new(tree->digest(), packed)) {
                if (!known) known = trusting ? pieces_of_last_trees() : std::set<Digest>();
                pack(*tree, *known, packed);
            }
        return packed;
    }
    bool is_new(const Digest& digest, const NewTrees& packed) {
        return !packed.trees.contains(digest) && !has_tree(digest);
    }
    // Whether it is here or will be, and not as a patch: then others may stand on it.
    bool is_whole(const Digest& digest, const NewTrees& packed) {
        if (const auto made = packed.trees.find(digest); made != packed.trees.end())
            return !made->second.base;
        return has_tree(digest) && !base_of(digest);
    }
    void pack(const snapshot::Tree& tree, const std::set<Digest>& known, NewTrees& packed) {
        try {
            std::optional<Digest> base_digest;
            if (const auto base = snapshot::base_tree_of(tree)) {
                const Digest digest = base->digest();
                if (!is_whole(digest, packed) && !packed.too_large.contains(digest))
                    pack_tree(*base, {}, known, packed);
                if (is_whole(digest, packed)) base_digest = digest;
            }
            pack_tree(tree, base_digest, known, packed);
        } catch (const Error& error) {  // a tree that lies in a file of its own, which is damaged
            if (error.kind() != ErrorKind::Corrupt) throw;
            packed.left_out.insert(tree.digest());
        }
    }
    std::int64_t version() { return number("PRAGMA data_version"); }
    // A new tree is mostly like one of the last: asking for each of its thousands of pieces whether
    // it is here would take longer than packing those that are not.
    std::set<Digest> pieces_of_last_trees() {
        std::set<Digest> pieces;
        SqliteStatement rows(connection,
                             "SELECT pieces FROM trees JOIN tree_uses USING(digest) "
                             "JOIN builds ON builds.id = build ORDER BY started_ns DESC LIMIT 4");
        while (rows.step())
            for (const Digest& piece : digests_of(rows.blob(0)))
                pieces.insert(piece);
        return pieces;
    }
    // Whether everything that was here when it was packed still is: another process may have
    // forgotten a build meanwhile, and with it what only that had.
    bool is_still_new(const NewTrees& packed, const std::vector<const snapshot::Tree*>& trees) {
        if (version() == packed.version) return true;
        for (const auto* tree : trees) {
            const Digest& digest = tree->digest();
            const bool is_kept =
                !packed.too_large.contains(digest) && !packed.left_out.contains(digest);
            if (is_kept && is_new(digest, packed)) return false;
        }
        for (const auto& [digest, made] : packed.trees) {
            if (made.base && !is_whole(*made.base, packed)) return false;
            for (const Digest& piece : digests_of(as_bytes(made.pieces)))
                if (!packed.pieces.contains(piece) && !has_piece(piece)) return false;
        }
        return true;
    }
    // `base`: only as a patch on that one.
    void pack_tree(const snapshot::Tree& tree, const std::optional<Digest>& base,
                   const std::set<Digest>& known, NewTrees& packed) {
        NewTree made;
        made.base = base;
        std::map<Digest, std::string> pieces;
        Packer packer;
        const auto keep = [&](std::string_view piece) {
            if (made.bytes += piece.size(); made.bytes > most_tree_bytes) return;
            const Digest digest = codec::sha256(piece);
            made.pieces.append(as_text(bytes_of(digest)));
            if (!known.contains(digest) && !packed.pieces.contains(digest) &&
                !pieces.contains(digest) && !has_piece(digest))
                pieces.emplace(digest, packer.pack(piece));
        };
        codec::Chunker chunker(kPieceBytes);
        std::string piece;
        const auto cut = [&](Bytes bytes) {
            while (!bytes.empty()) {
                const std::size_t count = chunker.take(bytes);
                piece.append(as_text(bytes.first(count)));
                bytes = bytes.subspan(count);
                if (!chunker.is_complete()) continue;
                keep(piece);
                piece.clear();
            }
        };
        if (base)
            cut(as_bytes(snapshot::serialise_patch(tree)));
        else
            snapshot::write_tree(tree, cut);
        if (!piece.empty()) keep(piece);
        if (made.bytes > most_tree_bytes) {
            packed.too_large.insert(tree.digest());
            return;
        }
        packed.pieces.merge(pieces);
        packed.trees.insert_or_assign(tree.digest(), std::move(made));
    }
    void put(const NewTrees& packed) {
        for (const auto& [digest, piece] : packed.pieces)
            run("REPLACE INTO pieces VALUES (?1, ?2)", {bytes_of(digest), as_bytes(piece)});
        for (const auto& [digest, tree] : packed.trees)
            if (tree.base)
                run("REPLACE INTO trees(digest, pieces, base, bytes) VALUES (?1, ?2, ?3, ?4)",
                    {bytes_of(digest), as_bytes(tree.pieces), bytes_of(*tree.base)},
                    {static_cast<std::int64_t>(tree.bytes)});
            else
                run("REPLACE INTO trees(digest, pieces, bytes) VALUES (?1, ?2, ?3)",
                    {bytes_of(digest), as_bytes(tree.pieces)},
                    {static_cast<std::int64_t>(tree.bytes)});
    }
    // The build has the tree, and what that stands on.
    void use_tree(const std::string& build, const Digest& digest) {
        run("REPLACE INTO tree_uses VALUES (?1, ?2)", {as_bytes(build), bytes_of(digest)});
        run("REPLACE INTO tree_uses SELECT ?1, base FROM trees WHERE digest = ?2 "
            "AND base IS NOT NULL",
            {as_bytes(build), bytes_of(digest)});
    }
    // Null if it is not here or does not decode. What cannot be read goes, so that the next build
    // with such a tree writes it anew.
    std::shared_ptr<const snapshot::Tree> find_tree(const Digest& digest) {
        const auto base_digest = base_of(digest);
        const auto serialised = find_bytes(digest);
        if (!serialised) return nullptr;
        try {
            std::optional<snapshot::Tree> tree;
            if (!base_digest) {
                tree.emplace(snapshot::Tree::parse(as_bytes(*serialised)));
            } else if (!base_of(*base_digest)) {  // that is no patch itself
                if (const auto base = find_tree(*base_digest))
                    tree.emplace(snapshot::parse_patch(as_bytes(*serialised), *base));
            }
            if (tree && tree->digest() == digest)
                return std::make_shared<const snapshot::Tree>(std::move(*tree));
        } catch (const Error&) {  // a damaged row is one that is not there
        }
        run("DELETE FROM trees WHERE digest = ?1", {bytes_of(digest)});
        return nullptr;
    }
    std::optional<Digest> base_of(const Digest& digest) {
        SqliteStatement row(connection, "SELECT base FROM trees WHERE digest = ?1 "
                                        "AND base IS NOT NULL");
        row.bind_blob(1, bytes_of(digest));
        if (!row.step()) return std::nullopt;
        const auto bases = digests_of(row.blob(0));
        return bases.size() == 1 ? std::optional(bases.front()) : std::nullopt;
    }
    // The bytes of a tree; nullopt if one of its pieces is missing or damaged. Then it goes, and
    // whatever else has that piece.
    std::optional<std::string> find_bytes(const Digest& digest) {
        std::optional<Digest> bad_piece;
        auto tree = unpack_tree(digest, bad_piece);
        if (tree) return tree;
        begin();
        if (bad_piece) {
            run("DELETE FROM pieces WHERE digest = ?1", {bytes_of(*bad_piece)});
            for (const Digest& broken : trees_with(*bad_piece))
                run("DELETE FROM trees WHERE digest = ?1", {bytes_of(broken)});
        }
        run("DELETE FROM trees WHERE digest = ?1", {bytes_of(digest)});
        commit();
        return std::nullopt;
    }
    std::vector<Digest> trees_with(const Digest& piece) {
        std::vector<Digest> trees;
        SqliteStatement rows(connection, "SELECT digest, pieces FROM trees");
        while (rows.step()) {
            const auto pieces = digests_of(rows.blob(1));
            if (std::find(pieces.begin(), pieces.end(), piece) != pieces.end())
                trees.push_back(digests_of(rows.blob(0)).front());
        }
        return trees;
    }
    std::optional<std::string> unpack_tree(const Digest& digest, std::optional<Digest>& bad_piece) {
        SqliteStatement row(connection, "SELECT bytes, pieces FROM trees WHERE digest = ?1");
        row.bind_blob(1, bytes_of(digest));
        if (!row.step()) return std::nullopt;
        const auto bytes = static_cast<std::uint64_t>(row.integer(0));
        if (bytes > most_tree_bytes) return std::nullopt;
        std::string tree;
        tree.reserve(bytes);
        for (const Digest& piece : digests_of(row.blob(1))) {
            SqliteStatement query(connection, "SELECT piece FROM pieces WHERE digest = ?1");
            query.bind_blob(1, bytes_of(piece));
            if (!query.step()) {
                bad_piece = piece;
                return std::nullopt;
            }
            const auto content = unpack(query.blob(0), bytes - tree.size());
            if (!content) {
                bad_piece = piece;
                return std::nullopt;
            }
            tree.append(*content);
        }
        return tree.size() == bytes ? std::optional(std::move(tree)) : std::nullopt;
    }
    // The oldest first, until the limits hold.
    void keep_within(const Limits& limits, const std::string& spared) {
        auto count = number("SELECT count(*) FROM builds");
        while (count > 1 && (count > limits.most_builds || bytes() > limits.most_bytes)) {
            SqliteStatement oldest(connection, "SELECT id FROM builds WHERE id != ?1 "
                                               "ORDER BY started_ns LIMIT 1");
            oldest.bind_blob(1, as_bytes(spared));
            if (!oldest.step()) return;
            const std::string id(as_text(oldest.blob(0)));
            oldest.rewind();
            forget(as_bytes(id));
            forget_unused_trees();
            --count;
        }
    }

    SqliteConnection connection;
    std::uint64_t most_tree_bytes = 0;
};

BuildHistory::BuildHistory(Store& store, const Limits& limits)
    : path_(join_path(store.root(), "builds.db")), limits_(limits) {}
BuildHistory::~BuildHistory() = default;

BuildHistory::State& BuildHistory::state() {
    auto& state = open_or_begin_anew(state_, path_);
    state.most_tree_bytes = limits_.most_tree_bytes;
    return state;
}

void BuildHistory::drop() {
    begin_anew(state_, path_);
}

// Runs `body(state)`; damage that only shows now empties the history and gives an empty answer. A
// transaction that was under way ends with the connection.
template <typename Body>
auto BuildHistory::guarded(Body&& body) {
    const std::lock_guard lock(mutex_);
    try {
        return body(state());
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::Corrupt) {
            drop();
            return decltype(body(*state_))();
        }
        state_.reset();
        throw;
    }
}

void BuildHistory::put(const BuildRow& build, const std::map<std::uint32_t, std::string>& logs,
                       const std::vector<const snapshot::Tree*>& trees) {
    if (build.document.size() > kMostDocumentBytes)
        fail(ErrorKind::Invalid, "the record of build " + build.id + " is too large");
    Packer packer;
    const auto document = packer.pack(build.document);
    guarded([&](State& state) {
        auto new_trees = state.pack_new(trees, true);
        state.begin();
        if (!state.is_still_new(new_trees, trees)) new_trees = state.pack_new(trees, false);
        state.run("REPLACE INTO builds(id, document, started_ns) VALUES (?1, ?2, ?3)",
                  {as_bytes(build.id), as_bytes(document)}, {build.started_ns});
        for (const auto& [step, text] : logs) {
            const auto packed = packer.pack(std::string_view(text).substr(0, kMostLogBytes));
            state.run("REPLACE INTO logs(build, text, step) VALUES (?1, ?2, ?3)",
                      {as_bytes(build.id), as_bytes(packed)}, {step});
        }
        state.put(new_trees);
        for (const auto* tree : trees)
            state.use_tree(build.id, tree->digest());
        state.keep_within(limits_, build.id);
        state.commit();
        return true;
    });
}

std::vector<BuildRow> BuildHistory::list(std::size_t most) {
    return guarded([&](State& state) {
        SqliteStatement rows(state.connection, "SELECT id, started_ns, document FROM builds "
                                               "ORDER BY started_ns DESC, id LIMIT ?1");
        rows.bind_int(1, static_cast<std::int64_t>(std::min<std::size_t>(most, 1u << 20)));
        std::vector<BuildRow> builds;
        while (rows.step())
            if (auto document = unpack(rows.blob(2), kMostDocumentBytes))
                builds.push_back(
                    {std::string(as_text(rows.blob(0))), rows.integer(1), std::move(*document)});
        return builds;
    });
}

std::optional<BuildRow> BuildHistory::find(const std::string& id) {
    return guarded([&](State& state) -> std::optional<BuildRow> {
        SqliteStatement row(state.connection,
                            "SELECT started_ns, document FROM builds WHERE id = ?1");
        row.bind_blob(1, as_bytes(id));
        if (!row.step()) return std::nullopt;
        auto document = unpack(row.blob(1), kMostDocumentBytes);
        if (!document) return std::nullopt;
        return BuildRow{id, row.integer(0), std::move(*document)};
    });
}

std::optional<std::string> BuildHistory::log(const std::string& id, std::uint32_t step) {
    return guarded([&](State& state) -> std::optional<std::string> {
        SqliteStatement row(state.connection,
                            "SELECT text FROM logs WHERE build = ?1 AND step = ?2");
        row.bind_blob(1, as_bytes(id));
        row.bind_int(2, step);
        return row.step() ? unpack(row.blob(0), kMostLogBytes) : std::nullopt;
    });
}

std::shared_ptr<const snapshot::Tree> BuildHistory::tree(const Digest& digest) {
    return guarded([&](State& state) { return state.find_tree(digest); });
}

bool BuildHistory::forget(const std::string& id) {
    if (!find(id)) return false;
    return guarded([&](State& state) {
        state.begin();
        state.forget(as_bytes(id));
        state.forget_unused_trees();
        state.commit();
        return true;
    });
}

}  // namespace shale::store
