/* The C library's string functions against loops of one byte at a time, at every alignment and length that a vector may meet. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPAN = 4096, LONGEST = 300 };
static unsigned seed = 20261121;
static unsigned next(void) { return seed = seed * 1664525u + 1013904223u; }
static int sign(int value) { return (value > 0) - (value < 0); }

static void fail(const char *name, int at, int length) {
  printf("%s at offset %d, length %d\n", name, at, length);
  exit(1);
}

/* Bytes that end where no page follows, so that reading one too many is seen. */
static char *edge(void) {
  char *memory = mmap(0, 2 * SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory + SPAN, SPAN, PROT_NONE)) exit(2);
  return memory;
}

static int plain_compare(const char *a, const char *b, int length, int stop_at_zero) {
  for (int i = 0; i < length; i++) {
    if (a[i] != b[i]) return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
    if (stop_at_zero && !a[i]) return 0;
  }
  return 0;
}

static void strings_of(char *a, char *b, int at, int length) {
  char *text = a + SPAN - length - 1 - at % 3;
  for (int i = 0; i < length; i++) text[i] = 'a' + next() % 4;
  text[length] = 0;
  if ((int)strlen(text) != length) fail("strlen", at, length);
  if ((int)strnlen(text, length / 2) != length / 2) fail("strnlen", at, length);
  const char *first = 0, *last = 0;
  for (int i = 0; i < length; i++)
    if (text[i] == 'c') {
      if (!first) first = text + i;
      last = text + i;
    }
  if (strchr(text, 'c') != first) fail("strchr", at, length);
  if (strrchr(text, 'c') != last) fail("strrchr", at, length);
  if (memchr(text, 'c', length) != first) fail("memchr", at, length);
  if (memrchr(text, 'c', length) != last) fail("memrchr", at, length);
  if (strchrnul(text, 'z') != text + length) fail("strchrnul", at, length);
  if ((int)strcspn(text, "xc") != (first ? first - text : length)) fail("strcspn", at, length);
  if ((int)strspn(text, "abd") != (first ? first - text : length)) fail("strspn", at, length);
  char *copy = b + at;
  if (strcpy(copy, text) != copy || plain_compare(copy, text, length + 1, 0)) fail("strcpy", at, length);
  if (strcmp(copy, text)) fail("strcmp", at, length);
  if (length) {
    int place = next() % length;
    copy[place] = 'a' + next() % 4;
    if (sign(strcmp(copy, text)) != plain_compare(copy, text, length + 1, 1)) fail("strcmp", at, length);
    if (sign(memcmp(copy, text, length)) != plain_compare(copy, text, length, 0)) fail("memcmp", at, length);
    if (sign(strncmp(copy, text, place + 1)) != plain_compare(copy, text, place + 1, 1)) fail("strncmp", at, length);
    if (strstr(text, text + place) > text + place) fail("strstr", at, length);
    if (memmem(text, length, text + place, length - place) > (void *)(text + place)) fail("memmem", at, length);
  }
  if (stpcpy(copy, text) != copy + length) fail("stpcpy", at, length);
  copy[length / 2] = 0;
  strcat(copy, "tail");
  if (plain_compare(copy + length / 2, "tail", 5, 0)) fail("strcat", at, length);
}

static void blocks_of(char *a, char *b, int at, int length) {
  for (int i = 0; i < length + 64; i++) a[i] = next() >> 24, b[i] = 0x55;
  memcpy(b + at, a, length);
  if (plain_compare(b + at, a, length, 0) || (at && b[at - 1] != 0x55) || b[at + length] != 0x55) fail("memcpy", at, length);
  memmove(b + at + 7, b + at, length);
  if (plain_compare(b + at + 7, a, length, 0)) fail("memmove up", at, length);
  memmove(b + at, b + at + 7, length);
  if (plain_compare(b + at, a, length, 0)) fail("memmove down", at, length);
  memset(b + at, 0x3c, length);
  for (int i = 0; i < length; i++)
    if (b[at + i] != 0x3c) fail("memset", at, length);
  if (length && rawmemchr(b + at, 0x3c) != b + at) fail("rawmemchr", at, length);
}

int main(void) {
  char *a = edge(), *b = edge();
  for (int at = 0; at < 64; at++)
    for (int length = 0; length <= LONGEST; length += length < 70 ? 1 : 17) {
      strings_of(a, b, at, length);
      blocks_of(a, b, at, length);
    }
  /* Past the sizes at which "rep movsb" and stores past the caches begin. */
  static char big[1 << 23], other[1 << 23];
  for (int i = 0; i < 1 << 23; i++) big[i] = next() >> 24;
  memcpy(other, big, sizeof big);
  if (memcmp(other, big, sizeof big) || plain_compare(other, big, sizeof big, 0)) fail("memcpy", 0, sizeof big);
  memmove(other + 1, other, sizeof other - 1);
  if (plain_compare(other + 1, big, sizeof big - 1, 0)) fail("memmove", 1, sizeof big);
  puts("good");
  return 0;
}
