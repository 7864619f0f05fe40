import { blinkMetal } from "./blink-metal.ts";
import { blinkSuites } from "./blink.ts";
import { fexSuites } from "./fex.ts";
import { kvmUnitTests } from "./kvm-unit-tests.ts";
import { linuxPrograms } from "./linux-programs.ts";
import { lockstep } from "./lockstep.ts";
import { memtest } from "./memtest.ts";
import { modelGuests } from "./models.ts";
import { nativeVectors } from "./native-vectors.ts";
import { qemuSystem } from "./qemu-system.ts";
import type { Suite } from "./suite.ts";
import { test386 } from "./test386.ts";
import { testfloat } from "./testfloat.ts";

/** Every suite, in the order of the table. */
export const suites: readonly Suite[] = [
  nativeVectors,
  lockstep,
  ...fexSuites,
  ...blinkSuites,
  blinkMetal,
  ...linuxPrograms,
  qemuSystem,
  test386,
  ...kvmUnitTests,
  testfloat,
  memtest,
  modelGuests,
];
