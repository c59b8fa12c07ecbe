package sheet

// Unreadable is a file that is no sheet of PO numbers. Its text says what it is and what to do, for the person who uploaded it.
type Unreadable struct {
	Name string // the file's
	Text string // goes on after the name: "is a PDF document; …"
	Err  error  // what a library said, if it was one
}

func (u *Unreadable) Error() string { return u.Name + " " + u.Text }

func (u *Unreadable) Unwrap() error { return u.Err }

// refusal is the text of an Unreadable whose name is added later.
type refusal string

func (r refusal) Error() string { return string(r) }
