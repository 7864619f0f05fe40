/**
 * The little of the platform that pure code may name: WebAssembly, text codecs, and ports that it hands on. Anything
 * else (clocks, timers, the network, the DOM) does not compile in the layers that see this file instead of `lib`.
 */
declare namespace WebAssembly {
  type ImportValue = Memory | Table | Global | ((...values: never[]) => unknown) | number;
  type Imports = Record<string, Record<string, unknown>>;
  type Exports = Record<string, unknown>;
  class Module {
    constructor(bytes: ArrayBufferView<ArrayBuffer> | ArrayBuffer);
    static exports(module: Module): { name: string; kind: string }[];
    static imports(module: Module): { module: string; name: string; kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports?: Imports);
    readonly exports: Exports;
  }
  class Memory {
    constructor(limits: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  class Table {
    constructor(limits: { element: "anyfunc" | "externref"; initial: number; maximum?: number });
    readonly length: number;
    get(index: number): unknown;
    set(index: number, value?: unknown): void;
    grow(count: number, value?: unknown): number;
  }
  class Global<T = number | bigint> {
    constructor(type: { value: string; mutable?: boolean }, value?: T);
    value: T;
  }
  class RuntimeError extends Error {}
  function validate(bytes: ArrayBufferView<ArrayBuffer> | ArrayBuffer): boolean;
}

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBufferView | ArrayBuffer, options?: { stream?: boolean }): string;
}

/** Opaque here: pure code passes ports along and never speaks through them. */
interface MessagePort {
  close(): void;
}
