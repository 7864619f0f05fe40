#!/bin/sh
# The first process of a disk that checks itself: known answers of a Debian's compilers, interpreter, ciphers and C library.
# Says "check: pass NAME" or "check: fail NAME" with the last words of what failed, and "check: done" at the end.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TMPDIR=/tmp
mount -o remount,rw / 2>/dev/null
mkdir -p /tmp/checks
cd /tmp/checks || exit 1

check() {
  name=$1
  shift
  if "$@" >/tmp/said 2>&1; then
    echo "check: pass $name"
  else
    echo "check: fail $name"
    tail -n 12 /tmp/said
  fi
}
# What the rest prints is exactly the first argument.
prints() {
  wanted=$1
  shift
  got=$("$@") || return 1
  [ "$got" = "$wanted" ] || {
    echo "got $got"
    echo "not $wanted"
    return 1
  }
}
hexdump() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { perl -e 'print pack("H*", shift)' "$1"; }

# ---- compilers
cc_answers='9592 1.414213562373095049 2432902008176640000 1804289383 0x1.8p+1'
compiled() { gcc "$@" -o program /checks/program.c -lm && ./program; }
check gcc-O0 prints "$cc_answers" compiled -O0
check gcc-O2 prints "$cc_answers" compiled -O2
check gcc-O3-sse4.2 prints "$cc_answers" compiled -O3 -msse4.2
check tcc prints "$cc_answers" tcc -run -lm /checks/program.c

# ---- the C library's string functions, at each level that it chooses by CPUID
check strings-build gcc -O1 -fno-builtin -o strings /checks/strings.c
for level in default -AVX2 -AVX2,-SSE4_2 -AVX2,-SSE4_2,-SSSE3,-ERMS,-FSRM; do
  if [ "$level" = default ]; then
    check "strings $level" ./strings
  else
    check "strings $level" env "GLIBC_TUNABLES=glibc.cpu.hwcaps=$level" ./strings
  fi
done

# ---- OpenSSL: FIPS 180-4, FIPS 202, FIPS 197, SP 800-38A, RFC 8439, RFC 4231, RFC 8032; with and without the instructions
digest() { printf abc | openssl dgst "-$1" -r | cut -d' ' -f1; }
cipher() { unhex "$4" | openssl enc "-$1" -nopad -K "$2" ${3:+-iv "$3"} | hexdump; }
ascending=000102030405060708090a0b0c0d0e0f
hmac() { printf 'what do ya want for nothing?' | openssl dgst -sha256 -mac HMAC -macopt key:Jefe -r | cut -d' ' -f1; }
ed25519() {
  unhex 302e020100300506032b6570042204204ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb >key.der
  printf r >message
  openssl pkeyutl -sign -rawin -inkey key.der -keyform DER -in message | hexdump
}
signs() {
  openssl genpkey -algorithm "$@" -out key.pem 2>/dev/null && openssl pkey -in key.pem -pubout -out public.pem &&
    openssl dgst -sha256 -sign key.pem -out signature /checks/program.c &&
    openssl dgst -sha256 -verify public.pem -signature signature /checks/program.c
}
known() {
  prints 900150983cd24fb0d6963f7d28e17f72 digest md5 &&
    prints a9993e364706816aba3e25717850c26c9cd0d89d digest sha1 &&
    prints ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad digest sha256 &&
    prints ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f digest sha512 &&
    prints 3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532 digest sha3-256 &&
    prints 69c4e0d86a7b0430d8cdb78070b4c55a cipher aes-128-ecb $ascending '' 00112233445566778899aabbccddeeff &&
    prints 8ea2b7ca516745bfeafc49904b496089 cipher aes-256-ecb ${ascending}101112131415161718191a1b1c1d1e1f '' 00112233445566778899aabbccddeeff &&
    prints 7649abac8119b246cee98e9b12e9197d cipher aes-128-cbc 2b7e151628aed2a6abf7158809cf4f3c $ascending 6bc1bee22e409f96e93d7e117393172a &&
    prints 874d6191b620e3261bef6864990db6ce cipher aes-128-ctr 2b7e151628aed2a6abf7158809cf4f3c f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff 6bc1bee22e409f96e93d7e117393172a &&
    prints 10f1e7e4d13b5915500fdd1fa32071c4 cipher chacha20 ${ascending}101112131415161718191a1b1c1d1e1f 01000000000000090000004a00000000 00000000000000000000000000000000 &&
    prints 5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843 hmac &&
    prints 92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00 ed25519
}
check openssl-known known
export OPENSSL_ia32cap='~0x200000200000000'
check openssl-known-without-aes-ni known
export OPENSSL_ia32cap=':~0xffffffff'
check openssl-known-without-avx2 known
unset OPENSSL_ia32cap
check openssl-ecdsa signs EC -pkeyopt ec_paramgen_curve:P-256
check openssl-rsa signs RSA -pkeyopt rsa_keygen_bits:1024
check openssl-speed openssl speed -elapsed -seconds 1 -bytes 1024 -evp aes-128-gcm

# ---- Python's own tests
for module in test_struct test_math test_zlib test_hashlib test_decimal; do
  check "python-$module" python3 -m test -q "$module"
done

echo "check: done"
while :; do sleep 1000; done
