// Package secretsmanager is the part of AWS Secrets Manager that Purser uses, on one machine: secrets with a current and a
// previous version, in one file that only its owner can read. The file is not encrypted.
package secretsmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	account    = "000000000000"
	maxRequest = 1 << 20
	maxSecret  = 64 << 10 // bytes
)

// Options says where the secrets are kept.
type Options struct {
	Path   string // a JSON file
	Region string // stands in ARNs
}

// Server answers Secrets Manager requests.
type Server struct {
	options Options

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

// secret is what the file keeps of one.
type secret struct {
	ARN, Name, Description string
	Created, Changed       float64   // Unix seconds
	Versions               []version // the current one, then the previous one
}

type version struct {
	ID      string
	String  *string `json:",omitempty"`
	Binary  []byte  `json:",omitempty"`
	Created float64
}

var stages = []string{"AWSCURRENT", "AWSPREVIOUS"}

// Open reads the secrets.
func Open(o Options) (*Server, error) {
	s := &Server{options: o, secrets: map[string]*secret{}}
	data, err := os.ReadFile(o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s.secrets)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secrets in %s: %w", o.Path, err)
	}
	return s, nil
}

// save replaces the file in one step.
func (s *Server) save() error {
	data, err := json.MarshalIndent(s.secrets, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.options.Path), "secrets-") // readable for its owner only
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), s.options.Path)
}

type answer = map[string]any

type apiError struct{ code, text string }

func (e *apiError) Error() string { return e.code + ": " + e.text }

type request struct {
	Name, SecretID, Description string
	SecretString                *string
	SecretBinary                []byte
	ClientRequestToken          string
	VersionID, VersionStage     string
}

var operations = map[string]func(*Server, *request) (answer, error){
	"CreateSecret":   (*Server).create,
	"PutSecretValue": (*Server).put,
	"GetSecretValue": (*Server).get,
	"DescribeSecret": (*Server).describe,
}

// ServeHTTP answers one request of the JSON protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.run(w, r)
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		var e *apiError
		if !errors.As(err, &e) {
			status, e = http.StatusInternalServerError, &apiError{"InternalServiceError", err.Error()}
		}
		out = answer{"__type": e.code, "message": e.text}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the client is gone, then
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) (answer, error) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	f := operations[name]
	if f == nil {
		return nil, &apiError{"InvalidRequestException", "the local Secrets Manager does not know the operation " + name}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return nil, &apiError{"InvalidRequestException", err.Error()}
	}
	in := &request{}
	if err := json.Unmarshal(body, in); err != nil {
		return nil, &apiError{"InvalidRequestException", err.Error()}
	}
	if in.ClientRequestToken == "" {
		in.ClientRequestToken = uuid.NewString()
	}
	if len(in.SecretBinary) > maxSecret || in.SecretString != nil && len(*in.SecretString) > maxSecret {
		return nil, &apiError{"InvalidParameterException", fmt.Sprintf("a secret may have at most %d bytes", maxSecret)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s, in)
}

func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

// find takes a name or an ARN.
func (s *Server) find(id string) (*secret, error) {
	for name, x := range s.secrets {
		if id == name || id == x.ARN {
			return x, nil
		}
	}
	return nil, &apiError{"ResourceNotFoundException", "Secrets Manager can't find the specified secret."}
}

func (s *Server) create(in *request) (answer, error) {
	if in.Name == "" {
		return nil, &apiError{"InvalidParameterException", "Name must not be empty"}
	}
	if _, ok := s.secrets[in.Name]; ok {
		return nil, &apiError{"ResourceExistsException", "The operation failed because the secret " + in.Name + " already exists."}
	}
	x := &secret{
		// AWS, too, puts six characters behind the name.
		ARN:  "arn:aws:secretsmanager:" + s.options.Region + ":" + account + ":secret:" + in.Name + "-" + uuid.NewString()[:6],
		Name: in.Name, Description: in.Description, Created: now(), Changed: now(),
	}
	s.secrets[in.Name] = x
	out := answer{"ARN": x.ARN, "Name": x.Name}
	if in.SecretString != nil || in.SecretBinary != nil {
		x.add(in)
		out["VersionId"] = in.ClientRequestToken
	}
	return out, s.save()
}

func (x *secret) add(in *request) {
	v := version{ID: in.ClientRequestToken, String: in.SecretString, Binary: in.SecretBinary, Created: now()}
	x.Versions = append([]version{v}, x.Versions...)
	x.Versions = x.Versions[:min(len(x.Versions), len(stages))]
	x.Changed = now()
}

func (s *Server) put(in *request) (answer, error) {
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	if (in.SecretString == nil) == (in.SecretBinary == nil) {
		return nil, &apiError{"InvalidParameterException", "give either SecretString or SecretBinary"}
	}
	out := answer{"ARN": x.ARN, "Name": x.Name, "VersionId": in.ClientRequestToken, "VersionStages": stages[:1]}
	if len(x.Versions) > 0 && x.Versions[0].ID == in.ClientRequestToken {
		return out, nil // a retry
	}
	x.add(in)
	return out, s.save()
}

func (s *Server) get(in *request) (answer, error) {
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	if in.VersionStage == "" && in.VersionID == "" {
		in.VersionStage = stages[0]
	}
	for i, v := range x.Versions {
		if in.VersionID != "" && in.VersionID != v.ID || in.VersionStage != "" && in.VersionStage != stages[i] {
			continue
		}
		out := answer{"ARN": x.ARN, "Name": x.Name, "VersionId": v.ID, "VersionStages": stages[i : i+1], "CreatedDate": v.Created}
		if v.String != nil {
			out["SecretString"] = *v.String
		} else {
			out["SecretBinary"] = v.Binary
		}
		return out, nil
	}
	return nil, &apiError{"ResourceNotFoundException", "Secrets Manager can't find the specified secret value."}
}

func (s *Server) describe(in *request) (answer, error) {
	x, err := s.find(in.SecretID)
	if err != nil {
		return nil, err
	}
	versions := map[string][]string{}
	for i, v := range x.Versions {
		versions[v.ID] = stages[i : i+1]
	}
	return answer{
		"ARN": x.ARN, "Name": x.Name, "Description": x.Description, "CreatedDate": x.Created, "LastChangedDate": x.Changed,
		"VersionIdsToStages": versions,
	}, nil
}
