/** What the core asks of the board; the meaning of each call is in ../core.ts (CpuHost). */

// @ts-ignore: decorator
@external("env", "ioRead") export declare function ioRead(port: u32, size: u32): u32;
// @ts-ignore: decorator
@external("env", "ioWrite") export declare function ioWrite(port: u32, size: u32, value: u32): void;
// @ts-ignore: decorator
@external("env", "mmioRead") export declare function mmioRead(address: u32, size: u32): u32;
// @ts-ignore: decorator
@external("env", "mmioWrite") export declare function mmioWrite(address: u32, size: u32, value: u32): void;
// @ts-ignore: decorator
@external("env", "tsc") export declare function tsc(): f64;
// @ts-ignore: decorator
@external("env", "acknowledgeInterrupt") export declare function acknowledgeInterrupt(): i32;
// @ts-ignore: decorator
@external("env", "random32") export declare function random32(): u32;
// @ts-ignore: decorator
@external("env", "readCr8") export declare function readCr8(): u32;
// @ts-ignore: decorator
@external("env", "writeCr8") export declare function writeCr8(value: u32): void;
// @ts-ignore: decorator
@external("env", "writeTscDeadline") export declare function writeTscDeadline(ticks: f64): void;
// @ts-ignore: decorator
@external("env", "writeApicBase") export declare function writeApicBase(value: u32): void;
