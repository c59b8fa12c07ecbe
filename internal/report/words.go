package report

import "github.com/purserhq/purser/internal/po"

// statusWords say what each status means, to somebody who never read a manual.
var statusWords = map[po.Status]string{
	po.Completed:       "Every document is here.",
	po.Partial:         "Some documents are here; others could not be fetched.",
	po.NoAttachments:   "The PO has no documents.",
	po.NotFound:        "The portal has no such PO, or does not show it to this user.",
	po.PRNotAccessible: "The requisition that should hold the documents cannot be opened.",
	po.Timeout:         "The PO took longer than one may.",
	po.Failed:          "The documents could not be fetched.",
	po.Pending:         "Not worked yet.",
}

// reason is what an error code means, and what to do about it.
type reason struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

var reasons = map[po.ErrorCode]reason{
	po.CodeProfile: {
		"The portal did not accept the session.",
		"Export the cookies again while you are signed in, put them with purser session put FILE, and redrive the job.",
	},
	po.CodeResource: {
		"The machine ran out of something: memory, disk, or its browser did not start.",
		"Redrive the job. If it happens again, give the downloader more memory or fewer tabs.",
	},
	po.CodeNotFound: {
		"The portal has no such PO, or does not show it to this user.",
		"Check the number in the sheet, and the user's rights in the portal.",
	},
	po.CodeNetwork: {
		"The portal could not be reached, or broke off.",
		"Redrive the job when the portal is well again.",
	},
	po.CodeTimeout: {
		"The time that one PO may take was up.",
		"Redrive the job. If it happens again, allow more time (WORKER_TIMEOUT).",
	},
	po.CodeLayout: {
		"The page is the PO's, but what it says about its attachments and what was found on it disagree.",
		"Look at the kept page. If the portal has changed, its profile needs a rule; then redrive the job.",
	},
	po.CodeFileInvalid: {
		"A file that came is not what its name says: a sign-in page instead of a PDF, say. It was not kept.",
		"Try the file in the portal by hand. If it is well there, drop the filled-in sheet again: what is COMPLETED stays.",
	},
	po.CodeFileTooLarge: {
		"A file is larger than allowed. It was not kept.",
		"Raise MAX_FILE_BYTES and drop the filled-in sheet again: what is COMPLETED stays. Or fetch the file by hand.",
	},
	po.CodeInput: {
		"The line holds no PO number that can be used.",
		"Correct the line in the filled-in sheet and drop that one: what is COMPLETED stays.",
	},
	po.CodePRNotAccessible: {
		"The PO's requisition cannot be opened by this user.",
		"Ask for the right to see it, and redrive the job.",
	},
	po.CodeCancelled: {
		"The job was called off before this PO's turn.",
		"Redrive the job to work what is left.",
	},
}
