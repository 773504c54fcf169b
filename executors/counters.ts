/** What a device measures of itself. */

/**
 * What a device counts; what it does not is left out.
 *
 * @example
 * ```ts
 * const counters: Counters = { cpu: [120, 4000], temperature: 48_300 };
 * ```
 */
export interface Counters {
  /** Ticks of all processors since the boot: busy ones, and all. */
  cpu?: readonly [busy: number, total: number];
  /** KiB. */
  memory?: readonly [total: number, available: number];
  /** KiB of the file system with the agent's state. */
  disk?: readonly [total: number, available: number];
  /** Thousandths of a degree Celsius. */
  temperature?: number;
  /** The word of a Raspberry Pi's firmware. */
  throttled?: number;
  /** Sectors of 512 bytes that were written to disks since the boot. */
  written?: number;
}
