# SPDX-License-Identifier: Apache-2.0
# Debian's cross compiler, libcrypto from the folder that tools/cross-libcrypto fills, tests under qemu's user emulation.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_STRIP aarch64-linux-gnu-strip)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-L;/usr/aarch64-linux-gnu)

if(DEFINED ENV{XDG_CACHE_HOME})
  set(TETHER_CROSS "$ENV{XDG_CACHE_HOME}/tether/cross-aarch64")
else()
  set(TETHER_CROSS "$ENV{HOME}/.cache/tether/cross-aarch64")
endif()
set(TETHER_LIBCRYPTO "${TETHER_CROSS}/usr/lib/aarch64-linux-gnu/libcrypto.a")
set(TETHER_OPENSSL_INCLUDE "${TETHER_CROSS}/usr/include/aarch64-linux-gnu" "${TETHER_CROSS}/usr/include")
