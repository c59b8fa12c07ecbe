package demo

import "net/http"

// commentJSON is one comment as the page's script gets it.
type commentJSON struct {
	Author        string           `json:"author"`
	Text          string           `json:"text"`
	RequisitionID string           `json:"requisition_id,omitempty"`
	Attachments   []attachmentJSON `json:"attachments"`
}

type attachmentJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	URL  string `json:"url"`
}

// commentList answers the XHR with which a page loads its comments.
func (p *Portal) commentList(w http.ResponseWriter, r *http.Request, s *session) {
	var (
		comments    []comment
		attachments []*attachment
		trouble     commentsTrouble
	)
	id := r.FormValue("order_header_id")
	if o := p.order(id); o != nil {
		comments, attachments, trouble = o.comments, o.attachments, o.trouble
	} else if req := p.catalogue.requisitions[r.FormValue("requisition_header_id")]; req != nil && !req.closed {
		attachments = req.attachments
	} else {
		p.oops(w, s, http.StatusNotFound)
		return
	}
	delay := p.load.Comments.of(r.URL.RequestURI())
	switch trouble {
	case commentsLate:
		delay = lateComments
	case commentsSlow:
		delay = slowComments
	}
	if !pause(r.Context(), delay) {
		return
	}
	if trouble == commentsFail || trouble == commentsFailOnce && p.stats.first("comments of "+id) {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}

	list := []commentJSON{}
	for _, c := range comments {
		list = append(list, commentJSON{Author: c.author, Text: c.text, RequisitionID: c.requisition, Attachments: []attachmentJSON{}})
	}
	for _, a := range attachments {
		if a.place != inComment {
			continue
		}
		if len(list) == 0 {
			list = append(list, commentJSON{Author: "Requester", Text: "Files of this document."})
		}
		for range max(a.shown, 1) {
			list[0].Attachments = append(list[0].Attachments, attachmentJSON{ID: a.id, Name: a.label, URL: base(r) + a.url()})
		}
	}
	writeJSON(w, map[string]any{"comments": list})
}
