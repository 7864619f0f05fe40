/* Integers, 64-bit arithmetic, 80-bit floating point and the C library in one line of known answers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
  enum { LIMIT = 100000 };
  static char composite[LIMIT];
  int primes = 0;
  for (int i = 2; i < LIMIT; i++) {
    if (composite[i]) continue;
    primes++;
    for (long long j = (long long)i * i; j < LIMIT; j += i) composite[j] = 1;
  }
  unsigned long long factorial = 1;
  for (int i = 2; i <= 20; i++) factorial *= i;
  int numbers[1000];
  for (int i = 0; i < 1000; i++) numbers[i] = (i * 7919) % 1000;
  qsort(numbers, 1000, sizeof *numbers, compare);
  for (int i = 0; i < 1000; i++)
    if (numbers[i] != i) return 1;
  volatile double three = 3;
  printf("%d %.18Lf %llu %ld %a\n", primes, sqrtl(2.0L), factorial, random(), three);
  return 0;
}
