import { kernelBase64 } from "./kernel.gen.ts";

/** How rows lie and what is looked for among them: what `scan` and `pick` both take last. */
export type Looking = readonly [
  bytes: number,
  stride: number,
  size: number,
  count: number,
  first: number,
  half: number,
  length: number,
  length2: number,
];

/** The functions of kernel.wat; `scan` and `pick` answer the new size of the heap. */
export interface Kernel {
  scan(row: number, rows: number, slot: number, ...looking: Looking): number;
  pick(base: number, rows: number, ...looking: Looking): number;
  /** Notes the lengths of a row that was written. */
  measure(row: number, first: number, half: number, bytes: number, stride: number): void;
  /** By the length of `vector` only. */
  cosine(wanted: number, vector: number, bytes: number): number;
  /** Answers the scale; 0 for what has no direction. */
  quantise(vector: number, end: number, values: number): number;
}

export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** What of the global `WebAssembly` is used: its types come with the DOM's, which Node's do not have. */
interface WebAssemblyGlobal {
  validate(binary: Uint8Array): boolean;
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
  readonly Memory: new (size: { initial: number; maximum: number }) => KernelMemory;
}

let compiled: object | undefined;

/** Whether this machine runs the kernel; where it does not, plain JavaScript does the same. */
export function hasKernel(): boolean {
  return webAssembly()?.validate(kernelBinary()) ?? false;
}

/** A kernel with a memory of its own, of whole pages of 64 KiB. */
export function openKernel(pages: { initial: number; maximum: number }): {
  kernel: Kernel;
  memory: KernelMemory;
} {
  const global = webAssembly();
  if (global === undefined) throw new TypeError("kernel: this machine has no WebAssembly");
  compiled ??= new global.Module(kernelBinary());
  const memory = new global.Memory(pages);
  const { exports } = new global.Instance(compiled, { host: { memory } });
  // The binary is ours, and its exports are those of kernel.wat.
  return { kernel: exports as Kernel, memory };
}

function webAssembly(): WebAssemblyGlobal | undefined {
  // Every engine that has the name has at least this of it.
  return (globalThis as { WebAssembly?: WebAssemblyGlobal }).WebAssembly;
}

function kernelBinary(): Uint8Array {
  return Uint8Array.from(atob(kernelBase64), (letter) => letter.charCodeAt(0));
}
