package ledger

import "time"

// PoolStatus is what one environment's pool of tabs does at the moment.
type PoolStatus struct {
	Environment string          `json:"environment"`
	At          time.Time       `json:"at"`
	Status      string          `json:"pool_status"` // INITIALIZING, READY, PROCESSING, SHUTTING_DOWN, TERMINATED
	Workers     []WorkerStatus  `json:"workers"`
	Pending     int             `json:"pending_tasks"`
	TotalMemory int64           `json:"total_memory_usage"` // bytes
	Stats       ProcessingStats `json:"processing_stats"`
}

// WorkerStatus is what one tab does at the moment.
type WorkerStatus struct {
	ID        int    `json:"worker_id"`
	Status    string `json:"status"`       // STARTING, READY, PROCESSING, IDLE, CRASHED, RESTARTING, TERMINATED
	Memory    int64  `json:"memory_usage"` // bytes
	Processed int    `json:"processed_count"`
	Task      string `json:"current_task"` // the PO, "" when idle
}

// ProcessingStats adds up an environment's work since it started.
type ProcessingStats struct {
	Processed     int64   `json:"processed"`
	Succeeded     int64   `json:"succeeded"`
	Failed        int64   `json:"failed"`
	Launches      int64   `json:"browser_launches"`
	Restarts      int64   `json:"worker_restarts"`
	MemoryPeak    int64   `json:"memory_peak_usage"` // bytes
	AveragePOTime float64 `json:"average_po_time"`   // seconds
}
