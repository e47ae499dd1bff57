#include "trial.hpp"

#include <elf.h>

#include <cstdint>
#include <cstring>

namespace shale::sandbox {

namespace {

// exit(kTrialExitCode) as machine code.
#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
constexpr std::uint8_t kCode[] = {
    0xb8, 0x3c,           0x00, 0x00, 0x00,  // mov eax, 60
    0xbf, kTrialExitCode, 0x00, 0x00, 0x00,  // mov edi, 42
    0x0f, 0x05,                              // syscall
};
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
constexpr std::uint32_t kCode[] = {
    0xd2800000u | kTrialExitCode << 5,  // mov x0, #42
    0xd2800ba8u,                        // mov x8, #93
    0xd4000001u,                        // svc #0
};
#elif defined(__riscv)
constexpr std::uint16_t kMachine = EM_RISCV;
constexpr std::uint32_t kCode[] = {
    kTrialExitCode << 20 | 0x513u,  // li a0, 42
    0x05d00893u,                    // li a7, 93
    0x00000073u,                    // ecall
};
#else
#error "the trial program has no code for this machine"
#endif

constexpr std::uint64_t kLoadAddress = 0x400000;

}  // namespace

std::string trial_program() {
    constexpr std::size_t kHeaderBytes = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = kMachine;
    header.e_version = EV_CURRENT;
    header.e_entry = kLoadAddress + kHeaderBytes;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;

    Elf64_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_flags = PF_R | PF_X;
    segment.p_vaddr = segment.p_paddr = kLoadAddress;
    segment.p_filesz = segment.p_memsz = kHeaderBytes + sizeof kCode;
    segment.p_align = 0x1000;

    std::string program(kHeaderBytes + sizeof kCode, '\0');
    std::memcpy(program.data(), &header, sizeof header);
    std::memcpy(program.data() + sizeof header, &segment, sizeof segment);
    std::memcpy(program.data() + kHeaderBytes, kCode, sizeof kCode);
    return program;
}

}  // namespace shale::sandbox
