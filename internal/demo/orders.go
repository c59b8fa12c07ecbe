package demo

import (
	"strings"

	"github.com/purserhq/purser/internal/po"
)

// foreignRequisition is a requisition that a comment of a PO links to without being that PO's own.
const foreignRequisition = "7799001"

// orders is the table: every purchase order of the portal, what its page shows, and what must come of it. Files that cannot be
// had are marked lost().
func orders() []*order {
	return []*order{
		// Where attachments are.
		{
			number: "PO16900001", shape: "one PDF in the header list", supplier: "Alder Paper", vendor: "0004700001", status: po.Completed,
			attachments: []*attachment{header("Signed order.pdf")},
		},
		{
			number: "PO16900002", shape: "three documents in the header list", supplier: "Alder Paper", vendor: "0004700001", status: po.Completed,
			attachments: []*attachment{header("Contract.pdf"), header("Terms.docx"), header("Price list.xlsx")},
		},
		{
			number: "PO16900003", shape: "header list says None, both files are under comments", supplier: "Basalt Cement", vendor: "0004700002", status: po.Completed,
			comments:    []comment{{author: "Supplier", text: "The quote and its annex."}},
			attachments: []*attachment{comm("Quote 4711.pdf"), comm("Annex A.pdf")},
		},
		{
			number: "PO16900004", shape: "header list, comment and plain link on one page", supplier: "Cedar Logistics", vendor: "0004700003", status: po.Completed,
			comments:    []comment{{author: "Requester", text: "Photo of the pallet."}},
			attachments: []*attachment{header("Order.pdf"), comm("Pallet.png"), link("Packing list.xlsx")},
		},
		{
			number: "PO16900005", shape: "comments come late", supplier: "Dune Electric", vendor: "0004700004", status: po.Completed, trouble: commentsLate,
			comments:    []comment{{author: "Buyer", text: "Filed."}},
			attachments: []*attachment{comm("Late certificate.pdf")},
		},
		{
			number: "PO16900006", shape: "comments come seconds after the page", supplier: "Dune Electric", vendor: "0004700004", status: po.Completed, trouble: commentsSlow,
			comments:    []comment{{author: "Buyer", text: "Filed."}},
			attachments: []*attachment{header("Drawing.pdf"), comm("Slow certificate.pdf")},
		},
		{
			number: "PO16900007", shape: "comments never load, the header list has a file", supplier: "Ember Foods", vendor: "0004700005",
			status: po.Partial, code: po.CodeNetwork, trouble: commentsFail,
			attachments: []*attachment{header("Invoice.pdf")},
		},
		{
			number: "PO16900008", shape: "comments fail once, then load", supplier: "Ember Foods", vendor: "0004700005", status: po.Completed, trouble: commentsFailOnce,
			comments:    []comment{{author: "Supplier", text: "Delivery note."}},
			attachments: []*attachment{comm("Delivery note.pdf")},
		},
		{
			number: "PO16900009", shape: "comments never load, and nothing else is there", supplier: "Ember Foods", vendor: "0004700005",
			status: po.Failed, code: po.CodeNetwork, trouble: commentsFail,
		},
		{
			number: "PO16900010", shape: "plain links in four forms", supplier: "Fjord Marine", vendor: "0004700006", status: po.Completed,
			attachments: []*attachment{
				link("Bill of lading.pdf"), link("Manifest.csv").linkedAs(downloadForm), link("Customs.pdf").linkedAs(filenameForm), link("Insurance.pdf").linkedAs(dispositionForm),
			},
		},
		{
			number: "PO16900011", shape: "links in a frame", supplier: "Fjord Marine", vendor: "0004700006", status: po.Completed,
			attachments: []*attachment{framed("Framed quote.pdf"), framed("Framed notes.txt")},
		},
		{
			number: "PO16900012", shape: "links in an open shadow root", supplier: "Granite Tools", vendor: "0004700007", status: po.Completed,
			attachments: []*attachment{shadow("Warranty.pdf")},
		},
		{
			number: "PO16900013", shape: "a blob: link", supplier: "Granite Tools", vendor: "0004700007", status: po.Completed,
			attachments: []*attachment{blob("Generated order.pdf")},
		},
		{
			number: "PO16900014", shape: "buttons whose script starts the download", supplier: "Harbour Glass", vendor: "0004700008", status: po.Completed,
			attachments: []*attachment{script("Test report.pdf"), script("Measurements.csv")},
		},
		{
			number: "PO16900015", shape: "a button whose script opens the file in a new tab", supplier: "Harbour Glass", vendor: "0004700008", status: po.Completed,
			attachments: []*attachment{header("Glass order.pdf"), newTab("Safety sheet.pdf")},
		},

		// One file or two.
		{
			number: "PO16900016", shape: "two links to one URL: one file", supplier: "Iris Medical", vendor: "0004700009", status: po.Completed,
			comments:    []comment{{author: "Buyer", text: "See above."}},
			attachments: []*attachment{comm("Approval.pdf").twice()},
		},
		{
			number: "PO16900017", shape: "the same file under two URLs: two files", supplier: "Iris Medical", vendor: "0004700009", status: po.Completed,
			attachments: []*attachment{header("Approval.pdf"), header("Approval.pdf").as("Approval_2.pdf").like("Approval.pdf")},
		},
		{
			number: "PO16900018", shape: "names that differ in case alone", supplier: "Iris Medical", vendor: "0004700009", status: po.Completed,
			attachments: []*attachment{header("Report.pdf"), header("REPORT.pdf").as("REPORT_2.pdf"), header("report.pdf").as("report_3.pdf")},
		},

		// Nothing to find.
		{
			number: "PO16900019", shape: "nothing but decoys", supplier: "Juniper Media", vendor: "0004700010", status: po.NoAttachments, page: decoyed,
		},
		{
			number: "PO16900020", shape: "one file among decoys", supplier: "Juniper Media", vendor: "0004700010", status: po.Completed, page: decoyed,
			attachments: []*attachment{header("Real file.pdf")},
		},
		{
			number: "PO16900021", shape: "no attachments, no comments", supplier: "Kestrel Cleaning", vendor: "0004700011", status: po.NoAttachments,
		},
		{
			number: "PO16900022", shape: "no attachments, but a comment speaks of one", supplier: "Kestrel Cleaning", vendor: "0004700011", status: po.NoAttachments,
			comments: []comment{{author: "Supplier", text: "I will send the attachment by post."}},
		},

		// Requisitions.
		{
			number: "PO16900023", shape: "the requisition has the files", supplier: "Lagoon Software", vendor: "0004700012", status: po.Completed,
			requisition: &requisition{id: "7700023", attachments: []*attachment{header("Requirement.pdf"), comm("Comparison.xlsx")}},
		},
		{
			number: "PO16900024", shape: "no PDF here, one at the requisition", supplier: "Lagoon Software", vendor: "0004700012", status: po.Completed,
			attachments: []*attachment{header("Order form.docx")},
			requisition: &requisition{id: "7700024", attachments: []*attachment{header("Requirement.pdf"), header("Order form.docx").as("Order form_2.docx")}},
		},
		{
			number: "PO16900025", shape: "a PDF here, so the requisition's files are not wanted", supplier: "Lagoon Software", vendor: "0004700012", status: po.Completed,
			attachments: []*attachment{header("Order.pdf")},
			requisition: &requisition{id: "7700025", attachments: []*attachment{header("Requirement.pdf")}},
		},
		{
			number: "PO16900026", shape: "no files, and the requisition cannot be opened", supplier: "Moss Gardening", vendor: "0004700013",
			status: po.PRNotAccessible, code: po.CodePRNotAccessible,
			requisition: &requisition{id: "7700026", closed: true},
		},
		{
			number: "PO16900027", shape: "no PDF, and the requisition cannot be opened", supplier: "Moss Gardening", vendor: "0004700013",
			status: po.Partial, code: po.CodePRNotAccessible,
			attachments: []*attachment{header("Planting plan.docx")},
			requisition: &requisition{id: "7700027", closed: true},
		},
		{
			number: "PO16900028", shape: "a comment links to a foreign requisition", supplier: "Moss Gardening", vendor: "0004700013", status: po.NoAttachments,
			comments: []comment{{author: "Requester", text: "Compare with requisition", requisition: foreignRequisition}},
		},

		// Pages that are not the PO's.
		{number: "PO16900029", shape: "not found: Oops, with status 200", status: po.NotFound, code: po.CodeNotFound, page: oops},
		{number: "PO16900030", shape: "not found: Oops in Portuguese", status: po.NotFound, code: po.CodeNotFound, page: oopsLocalised},
		{number: "PO16900031", shape: "not found: a plain 404", status: po.NotFound, code: po.CodeNotFound, page: missing},
		{number: "PO16900032", shape: "no access: 403", status: po.NotFound, code: po.CodeNotFound, page: forbidden},
		{number: "PO16900033", shape: "no access: sent to the landing page with a message", status: po.NotFound, code: po.CodeNotFound, page: forbiddenAtHome},
		{number: "PO16900034", shape: "another PO's page is shown", status: po.NotFound, code: po.CodeNotFound, page: otherOrder},
		{
			number: "PO16900035", shape: "speaks of attachments in an unknown layout", supplier: "Nimbus Travel", vendor: "0004700014",
			status: po.Failed, code: po.CodeLayout, page: unknownLayout,
		},
		{
			number: "PO16900036", shape: "a slow page", supplier: "Nimbus Travel", vendor: "0004700014", status: po.Completed, page: slow,
			attachments: []*attachment{header("Itinerary.pdf")},
		},

		// Names.
		{
			number: "PO16900037", shape: "names in every encoding", supplier: "Água Clara Ltda", vendor: "0004700015", status: po.Completed,
			attachments: []*attachment{
				header("Vertrag.pdf").named(`attachment; filename="Vertrag.pdf"; filename*=UTF-8''Vertrag%20%C3%BCber%20Lieferung.pdf`).as("Vertrag über Lieferung.pdf"),
				header("Größe.pdf").named("attachment; filename=\"Gr\xf6\xdfe.pdf\""),
				header("Preisliste.xlsx").named(`;filename*=UTF-8''Preisliste%202026.xlsx`).as("Preisliste 2026.xlsx"),
				header("encoded.pdf").named(`attachment; filename="=?UTF-8?B?T3LDp2FtZW50by5wZGY=?="`).as("Orçamento.pdf"),
				header("percent.pdf").named(`attachment; filename="Rechnung%20M%C3%A4rz.pdf"`).as("Rechnung März.pdf"),
				header("Only on the page.pdf").named(""),
			},
		},
		{
			number: "PO16900038", shape: "names that are dangerous", supplier: "B/S Quay & Sons: Import", vendor: "0004700016", status: po.Completed,
			attachments: []*attachment{
				header("passwd.pdf").named(`attachment; filename="../../etc/passwd.pdf"`),
				header("CON.pdf").as("_CON.pdf"),
				header("=cmd.pdf"),
				header("Notes.pdf").named("attachment; filename=\"Notes.pdf. .\""),
				header("annex\u202efdp.pdf").as("annexfdp.pdf"),
			},
		},
		{
			number: "PO16900039", shape: "names that are long or unusual", supplier: "Al-Noor Steel", vendor: "0004700017", status: po.Completed,
			attachments: []*attachment{
				header("🚀 launch plan.pdf"),
				header(strings.Repeat("very long name ", 20) + ".pdf").as(strings.Repeat("very long name ", 20)[:146] + ".pdf"),
				header("Cafe\u0301.pdf").as("Café.pdf"),
				header("契約書.pdf"),
			},
		},

		// Files that make trouble.
		{
			number: "PO16900040", shape: "a sign-in page in place of one file", supplier: "Orchard Fruit", vendor: "0004700018",
			status: po.Partial, code: po.CodeFileInvalid,
			attachments: []*attachment{header("Good.pdf"), header("Sign-in.pdf").answered(signInPage).lost()},
		},
		{
			number: "PO16900041", shape: "a sign-in page in place of the only file", supplier: "Orchard Fruit", vendor: "0004700018",
			status: po.Failed, code: po.CodeFileInvalid,
			attachments: []*attachment{header("Sign-in.pdf").answered(signInPage).lost()},
		},
		{
			number: "PO16900042", shape: "a file that is empty on the server", supplier: "Orchard Fruit", vendor: "0004700018", status: po.Completed,
			attachments: []*attachment{header("Filled.pdf"), header("Empty.txt").answered(empty)},
		},
		{
			number: "PO16900043", shape: "a transfer that breaks off once", supplier: "Pebble Stone", vendor: "0004700019", status: po.Completed,
			attachments: []*attachment{header("Resumed.pdf").answered(cutOnce)},
		},
		{
			number: "PO16900044", shape: "a transfer that always breaks off", supplier: "Pebble Stone", vendor: "0004700019",
			status: po.Partial, code: po.CodeNetwork,
			attachments: []*attachment{header("Complete.pdf"), header("Cut.pdf").answered(cutAlways).lost()},
		},
		{
			number: "PO16900045", shape: "a file that is too large", supplier: "Pebble Stone", vendor: "0004700019",
			status: po.Partial, code: po.CodeFileTooLarge,
			attachments: []*attachment{header("Small.pdf"), header("Film.zip").answered(tooLarge).lost()},
		},
		{
			number: "PO16900046", shape: "a file whose first request gets 503", supplier: "Quartz Optics", vendor: "0004700020", status: po.Completed,
			attachments: []*attachment{header("Second try.pdf").answered(unavailableOnce)},
		},
		{
			number: "PO16900047", shape: "a file that redirects to another host", supplier: "Quartz Optics", vendor: "0004700020",
			status: po.Partial, code: po.CodeFileInvalid,
			attachments: []*attachment{header("Here.pdf"), header("Elsewhere.pdf").answered(elsewhere).lost()},
		},
		{
			number: "PO16900048", shape: "links to a metadata service and to a local file", supplier: "Quartz Optics", vendor: "0004700020",
			status: po.Partial, code: po.CodeFileInvalid,
			attachments: []*attachment{
				link("Harmless.pdf"),
				outside("Credentials.txt", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"),
				outside("Passwords.txt", "file:///etc/passwd"),
			},
		},
		{
			number: "PO16900049", shape: "a file that redirects to a one-time URL of the portal", supplier: "Reed Music", vendor: "0004700021", status: po.Completed,
			attachments: []*attachment{header("Score.pdf").answered(oneTimeURL)},
		},
		{
			number: "PO16900050", shape: "a picture that claims to be a PDF", supplier: "Reed Music", vendor: "0004700021",
			status: po.Failed, code: po.CodeFileInvalid,
			attachments: []*attachment{header("Claimed.pdf").answered(wrongBytes).lost()},
		},
		{
			number: "PO16900051", shape: "every kind of file", supplier: "Saffron Trading", vendor: "0004700022", status: po.Completed,
			comments: []comment{{author: "Supplier", text: "Everything about this order."}, {author: "Buyer", text: "Thank you."}},
			attachments: []*attachment{
				header("Order.pdf"), header("Letter.docx"), header("Sheet.xlsx"), header("Slides.pptx"),
				header("Archive.zip").typed("application/octet-stream"), header("Data.csv"), header("Readme.txt"),
				comm("Photo.jpg"), comm("Scan.jpeg"), comm("Logo.png"), comm("Message.eml").typed("application/octet-stream"), comm("Outlook.msg").typed("application/octet-stream"),
			},
		},

		// Numbers.
		{
			number: "PM15492200", shape: "a number with the prefix PM", supplier: "Tundra Energy", vendor: "0004700023", status: po.Completed,
			attachments: []*attachment{header("Maintenance.pdf")},
		},
		{
			number: "17012345", shape: "a number without a prefix", supplier: "Tundra Energy", vendor: "0004700023", status: po.Completed,
			attachments: []*attachment{header("Spare parts.pdf"), comm("Confirmation.eml")},
			comments:    []comment{{author: "Supplier", text: "Confirmed."}},
		},
	}
}
