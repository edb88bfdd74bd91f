package stdio

// Output is the sink of one stream of a process: the log first, then the attached clients.
type Output struct {
	Stream byte   // protocol.Stdout or protocol.Stderr
	Log    *Lines // nil where nothing is logged
	Fan    *Fan
}

func (o *Output) Write(p []byte) {
	if o.Log != nil {
		o.Log.Write(p)
	}
	o.Fan.Write(o.Stream, p)
}

// Idle makes what was logged visible to readers.
func (o *Output) Idle() {
	if o.Log != nil {
		o.Log.Flush()
	}
}

// End logs what is left of the last line.
func (o *Output) End() {
	if o.Log != nil {
		o.Log.End()
	}
}
