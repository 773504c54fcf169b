/** Backups of a cluster's state, and how a manager starts from one. */
export { backupFrames, snapshotFrames } from "./backup_frames.ts";
export { type RestoredCluster, restoreFolder, type RestoreFolderOptions } from "./restore_folder.ts";
