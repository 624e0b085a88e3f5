# The machines that we release for, and the prefixes of Debian's compilers.
RELEASES = x86_64 i386 aarch64 armv7 armel mipsel mips riscv64

TRIPLET_x86_64 = x86_64-linux-gnu
TRIPLET_i386 = i686-linux-gnu
TRIPLET_aarch64 = aarch64-linux-gnu
TRIPLET_armv7 = arm-linux-gnueabihf
TRIPLET_armel = arm-linux-gnueabi
TRIPLET_mipsel = mipsel-linux-gnu
TRIPLET_mips = mips-linux-gnu
TRIPLET_riscv64 = riscv64-linux-gnu
